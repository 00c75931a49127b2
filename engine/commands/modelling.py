"""The commands for models: evaluate, benchmark, train, card, import-sklearn.

Each imports its training modules when it runs, so that `classify` starts without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.commands.console import (
    JsonOption,
    ModelOption,
    OverwriteOption,
    exit_unusable,
    needs_training,
    progress_bars,
)
from engine.model.classifier import Classifier
from engine.model.files import MANIFEST, ModelError
from engine.terminal import print_table
from models import default_model

WORK = Path(".digitstream/training")

MnistOption = Annotated[Path, typer.Option("--mnist", help="Folder with MNIST's two training files (IDX, gz or not).")]


def evaluate(
    folder: Annotated[Path | None, typer.Argument(help="Pictures as DIR/LABEL/*.png, or jpg and so on.")] = None,
    *,
    images: Annotated[Path | None, typer.Option(help="IDX file of 28x28 pictures, gz or not.")] = None,
    labels: Annotated[Path | None, typer.Option(help="IDX file of their labels.")] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read labelled digits and report how accurate the readings are.

    Percentages have 95 % intervals. The calibration error is over 15 bins with equally many digits.
    """
    with needs_training():
        from engine.training.data.labelled import DataError, list_folder, read_idx
        from engine.training.report.evaluate import judge_digits, judge_pictures

    if (images is None) != (labels is None) or (folder is None) == (images is None):
        raise typer.BadParameter("give either a folder, or both --images and --labels")
    try:
        classifier = Classifier.load(model or default_model())
        with progress_bars() as bars:
            bar = bars.add_task("read", total=None, note="")
            if images is not None and labels is not None:
                data = read_idx(images, labels)
                bars.update(bar, total=len(data))
                judged = judge_digits(classifier, data, lambda count: bars.advance(bar, count))
            elif folder is not None:
                listed = list_folder(folder)
                bars.update(bar, total=len(listed))
                judged = judge_pictures(classifier, listed, lambda count: bars.advance(bar, count))
    except (OSError, ModelError, DataError) as error:
        raise exit_unusable(error) from error
    figures = judged.figures() | {"confusion": judged.confusion().tolist()}
    if as_json:
        typer.echo(msgspec.json.encode(figures))
    else:
        _print_figures(figures)


def benchmark(
    mnist: MnistOption,
    *,
    model: ModelOption = None,
    work: Annotated[Path, typer.Option(help="Folder in which the SVC of the plain chain is kept.")] = WORK,
    as_json: JsonOption = False,
) -> None:
    """Measure the speed on one core, compared with Pillow, scikit-image's HOG and scikit-learn's SVC in the same run.

    The first run trains that SVC on all digits, which takes some minutes.
    """
    with needs_training():
        from engine.training.data.labelled import DataError, read_mnist
        from engine.training.report.benchmark import TITLES, steps
        from engine.training.report.benchmark import benchmark as measure

    try:
        classifier = Classifier.load(model or default_model())
        data = read_mnist(mnist)
    except (ModelError, DataError) as error:
        raise exit_unusable(error) from error
    with progress_bars() as bars:
        bar = bars.add_task("measure", total=steps(), note="")
        figures = measure(classifier, data, work / "plain-chain.joblib", lambda: bars.advance(bar))
    if as_json:
        typer.echo(msgspec.json.encode(figures))
        return
    stages = figures.pop("us_per_image")
    for key, value in figures.items():
        typer.echo(f"{TITLES[key]:34}{value:,}")
    rows = [(name, *(str(cost) for cost in costs.values())) for name, costs in stages.items()]
    print_table(("µs an image", *next(iter(stages.values()))), rows)


def train(
    mnist: Annotated[
        Path, typer.Option("--mnist", help="Folder with MNIST's two training files, or pictures as LABEL/*.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the model to.", show_default="models/NAME-VERSION")
    ] = None,
    overwrite: OverwriteOption = False,
    work: Annotated[Path, typer.Option(help="Folder for finished stages: a second run continues there.")] = WORK,
    digits: Annotated[int | None, typer.Option(help="Train on this many digits only, to try something.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the digits.")] = 70,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    name: Annotated[str, typer.Option(help="Part of the model's identity in every result.")] = "digits",
    version: Annotated[
        str | None,
        typer.Option(
            help="Part of the model's identity in every result.", show_default="the highest so far, counted up"
        ),
    ] = None,
) -> None:
    """Train a model; the same digits and options give the same predictions.

    The last sixth of the digits is held out; the figures in the manifest are measured on it. Existing models are not
    changed: the new one gets its own folder.
    """
    with needs_training():
        from engine.training.data.labelled import DataError
        from engine.training.data.sources import read_training_digits
        from engine.training.data.typefaces import TypefacesMissingError, require
        from engine.training.fit.learn import Plan
        from engine.training.fit.naming import model_folder, next_version, refuse_to_overwrite
        from engine.training.fit.train import Settings
        from engine.training.fit.train import train as train_model

    try:
        version = version or next_version(name, default_model())
        folder = out or model_folder(name, version)
        refuse_to_overwrite(folder / MANIFEST, overwrite=overwrite)
        require("train")
        data = read_training_digits(mnist).part(slice(0, digits))
        settings = Settings(name=name, version=version, plan=Plan(epochs=epochs, seed=seed))
        with progress_bars() as bars:
            trained = train_model(data, settings, folder, work, bars)
    except (OSError, ModelError, DataError, TypefacesMissingError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{folder}: {trained.info.name} {trained.info.version}, sha256 {trained.info.sha256}")
    typer.echo(msgspec.json.format(msgspec.json.encode(trained.manifest["held_out"]), indent=2))


def card(
    mnist: MnistOption,
    *,
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write the card to.", show_default="the model's")] = None,
    overwrite: OverwriteOption = False,
    disturbed: Annotated[
        int, typer.Option(help="Number of digits that are disturbed, for each kind of disturbance.")
    ] = 3_000,
    foreign: Annotated[int, typer.Option(help="Number of pictures without a digit, for each kind.")] = 1_000,
    speed: Annotated[bool, typer.Option(help="Measure the speed too; the first run trains the plain chain.")] = True,
    work: Annotated[Path, typer.Option(help="Folder in which the SVC of the plain chain is kept.")] = WORK,
) -> None:
    """Measure a trained model on the held-out digits; write its card and plots."""
    with needs_training():
        from engine.training.data.labelled import DataError, read_mnist
        from engine.training.data.typefaces import TypefacesMissingError, require
        from engine.training.fit.naming import refuse_to_overwrite
        from engine.training.fit.train import split
        from engine.training.report import benchmark as speedometer
        from engine.training.report.card import CARD, write_card
        from engine.training.report.trial import run_trial, steps

    folder = model or default_model()
    try:
        refuse_to_overwrite((out or folder) / CARD, overwrite=overwrite)
        require("test")
        classifier = Classifier.load(folder)
        data = read_mnist(mnist)
    except (ModelError, DataError, TypefacesMissingError) as error:
        raise exit_unusable(error) from error
    with progress_bars() as bars:
        bar = bars.add_task("measure", total=steps(), note="")
        trial = run_trial(classifier, split(data)[1], disturbed, foreign, lambda: bars.advance(bar))
        costs = None
        if speed:
            clock = bars.add_task("speed", total=speedometer.steps(), note="")
            kept = work / "plain-chain.joblib"
            costs = speedometer.benchmark(classifier, data, kept, lambda: bars.advance(clock))
    typer.echo(write_card(classifier, trial, costs, out or folder))


def import_sklearn(
    pickled: Annotated[Path, typer.Argument(help="SVC saved by pickle or joblib.")],
    *,
    trusted: Annotated[
        bool,
        typer.Option("--i-trust-this-file", help="Confirm that you trust the file: unpickling can run code from it."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")] = Path("imported-model"),
    overwrite: OverwriteOption = False,
    name: Annotated[str, typer.Option(help="Name of the model in every result.")] = "imported-svc",
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    orientations: Annotated[int, typer.Option(help="HOG: directions.")] = 9,
    pixels_per_cell: Annotated[int, typer.Option(help="HOG: side of a cell.")] = 8,
    cells_per_block: Annotated[int, typer.Option(help="HOG: side of a block, in cells.")] = 3,
    block_norm: Annotated[str, typer.Option(help="HOG: L1, L1-sqrt, L2 or L2-Hys.")] = "L2-Hys",
    transform_sqrt: Annotated[bool, typer.Option(help="HOG: square root of the pixels first.")] = False,
    side_px: Annotated[int, typer.Option("--image-size", help="Side of the training pictures, in pixels.")] = 28,
    dark_ink: Annotated[
        bool, typer.Option("--dark-ink/--bright-ink", help="Polarity of the training pictures.")
    ] = False,
    white: Annotated[float, typer.Option(help="Value of their brightest pixel: 255, or 1 if they were scaled.")] = 255,
    canvas: Annotated[
        bool, typer.Option("--canvas/--as-it-is", help="Find and centre the digit first, or use pictures unchanged.")
    ] = False,
) -> None:
    """Convert a scikit-learn SVC over scikit-image's HOG to a model that is served without pickle."""
    with needs_training():
        from engine.model.block_hog import BlockHog
        from engine.model.svc import Frame
        from engine.training.fit.naming import refuse_to_overwrite
        from engine.training.fit.sklearn_import import Naming, SklearnError
        from engine.training.fit.sklearn_import import import_sklearn as convert

    if not trusted:
        raise exit_unusable(PermissionError(f"unpickling {pickled} runs code from it: add --i-trust-this-file"))
    try:
        refuse_to_overwrite(out / MANIFEST, overwrite=overwrite)
        hog = BlockHog(orientations, pixels_per_cell, cells_per_block, block_norm, transform_sqrt)
        frame = Frame(side_px, not dark_ink, white, canvas)
        made = convert(pickled, out, frame, hog, Naming(name, version))
    except (OSError, ValueError, ModelError, SklearnError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{out}: {made.info.name} {made.info.version}, sha256 {made.info.sha256}")


def _print_figures(figures: dict[str, Any]) -> None:
    """Print the figures and the confusion matrix as tables."""
    from engine.training.report.measure import TITLES

    rows = []
    for key, title in TITLES.items():
        value, interval = figures[key], figures.get(f"{key}_interval")
        unit = " %" if "_pct" in key else ""
        shown = "none" if value is None else f"{value:,}{unit}"
        rows.append((title, shown, f"{interval[0]} to {interval[1]}{unit}" if interval else ""))
    print_table(("figure", "value", "95 % interval"), rows)
    confusion = [
        (str(digit), *(str(count) if count else "" for count in row)) for digit, row in enumerate(figures["confusion"])
    ]
    print_table(("shown \\ read", *(str(digit) for digit in range(10))), confusion)
