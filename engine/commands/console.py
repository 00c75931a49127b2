"""Options, exit codes, progress and error messages that the commands of `digit-engine` share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.compiled import cache_problem, compilation_reported
from engine.model.classifier import Classifier
from engine.model.files import ModelError
from engine.registry.cache import default_cache
from engine.registry.fetch import fetch
from engine.registry.stores import StoreUnavailable
from models import default_model
from release.printable import printable

EXIT_UNREAD = 1  # an image failed or is unsure
EXIT_UNUSABLE = 2  # a path, the model or the data cannot be used
TIMEOUT_S = 60.0  # how long a store is tried
WORK = Path(".digitstream/training")  # what commands keep for their next run

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="DIGITS_MODEL",
        help="Folder, archive or URL of the model, or STORE/NAME@VERSION or STORE/NAME@ALIAS.",
        show_default="the shipped one",
    ),
]
HandsOption = Annotated[
    Path | None,
    typer.Option(
        "--hands",
        help="Folder with digits of other hands: optdigits-orig.tra.gz and pendigits-tra.csv.gz. Without it, only "
        "digits drawn by program show other hands.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

error_console = Console(stderr=True)
_STDERR = 2
"""The descriptor that C libraries write to."""


OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]

_TRAINING = frozenset({"joblib", "matplotlib", "scipy", "skimage", "sklearn", "skops", "threadpoolctl"})
_CNN = frozenset({"google", "keras", "onnx", "onnxruntime", "tensorflow"})


@contextlib.contextmanager
def needs_training() -> Iterator[None]:
    """Imports of training-only packages belong in this context: if one is not installed, a message names it."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _TRAINING | _CNN:
            raise
        extra = "train" if missing in _TRAINING else "train,train-cnn"
        raise exit_unusable(
            ImportError(f"this command needs {error.name}, which is not installed: pip install 'digitstream[{extra}]'")
        ) from error


def load_classifier(model: str | None) -> Classifier:
    """Fetch and check a model; the default is the shipped one.

    Raises
    ------
    ModelError
        It cannot be used, or its store does not answer.
    """
    try:
        fetched = fetch(model or str(default_model()), manifest_sha256=None, cache=default_cache(), timeout_s=TIMEOUT_S)
    except StoreUnavailable as error:
        raise ModelError(str(error)) from error
    for warning in fetched.warnings:
        error_console.print(escape(printable(warning)), soft_wrap=True)
    return Classifier.load_files(fetched.files)


def exit_unusable(error: Exception) -> typer.Exit:
    """Print the error in one line and return the exit for it."""
    error_console.print(f"[red]digit-engine:[/red] {escape(printable(str(error)))}", soft_wrap=True)
    return typer.Exit(EXIT_UNUSABLE)


@contextlib.contextmanager
def compilation_shown() -> Iterator[None]:
    """Report on standard error, every few seconds, how many functions are compiled, if any must be."""

    def say(done: int, total: int) -> None:
        kept = "" if cache_problem() is None else " (again at each start: no cache folder can be written)"
        error_console.print(f"compiling, once{kept}: {done} of {total}", soft_wrap=True, highlight=False)

    with compilation_reported(say):
        yield


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Keep what C libraries write to standard error from it, such as libjpeg's warnings of damage that does not matter.

    What Python writes there still arrives: it goes through another descriptor of the same file.
    """
    sys.stderr.flush()
    with (
        os.fdopen(os.dup(_STDERR), "w", buffering=1, errors="backslashreplace") as kept,
        Path(os.devnull).open("wb") as nothing,
        contextlib.redirect_stderr(kept),
    ):
        os.dup2(nothing.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept.fileno(), _STDERR)


def progress_bars() -> Progress:
    """Show progress on standard error, so that standard output stays clean."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=error_console,
    )
