"""What the commands of `digit-engine` have in common: options, exit codes, progress, complaints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.errors import printable

EXIT_UNREAD = 1  # an image failed or is unsure
EXIT_UNUSABLE = 2  # a path, the model or the data cannot be used

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", envvar="DIGITS_MODEL", help="Folder of the model.", show_default="the shipped one"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

complaints = Console(stderr=True)


def unusable(error: Exception) -> typer.Exit:
    """Say in one line what cannot be used."""
    complaints.print(f"[red]digit-engine:[/red] {escape(printable(str(error)))}", soft_wrap=True)
    return typer.Exit(EXIT_UNUSABLE)


def progress_bars() -> Progress:
    """Show progress on standard error, so that standard output stays clean."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=complaints,
    )
