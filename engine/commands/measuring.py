"""The commands that measure a model: evaluate, benchmark, card, cards.

Each imports its training modules when it runs, so that `classify` starts without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.commands.console import (
    WORK,
    HandsOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    exit_unusable,
    load_classifier,
    needs_training,
    progress_bars,
)
from engine.model.classifier import Classifier
from engine.model.files import ModelError
from engine.terminal import print_table
from models import default_model

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
        classifier = load_classifier(model)
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
        classifier = load_classifier(model)
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


def card(
    mnist: MnistOption,
    *,
    hands: HandsOption = None,
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write the card to.", show_default="the model's")] = None,
    overwrite: OverwriteOption = False,
    disturbed: Annotated[
        int, typer.Option(help="Number of digits that are disturbed, for each kind of disturbance.")
    ] = 3_000,
    foreign: Annotated[int, typer.Option(help="Number of pictures without a digit, for each kind.")] = 1_000,
    scenes: Annotated[int, typer.Option(help="Number of digits that are drawn into each scene.")] = 300,
    speed: Annotated[bool, typer.Option(help="Measure the speed too; the first run trains the plain chain.")] = True,
    work: Annotated[Path, typer.Option(help="Folder in which the SVC of the plain chain is kept.")] = WORK,
) -> None:
    """Measure a trained model on the held-out digits; write its card and plots."""
    with needs_training():
        from engine.training.data.labelled import DataError, read_mnist
        from engine.training.fit.naming import refuse_to_overwrite
        from engine.training.fit.train import split
        from engine.training.hands.folder import read_hands
        from engine.training.report import benchmark as speedometer
        from engine.training.report.card import CARD, write_card
        from engine.training.report.trial import Amounts, run_trial, steps

    folder = Path(model) if model else default_model()
    if not folder.is_dir():
        raise exit_unusable(ModelError(f"{model} is not a folder: the card is measured of a model in one"))
    target = out or folder
    try:
        others = read_hands(hands) if hands else None
        refuse_to_overwrite(target / CARD, overwrite=overwrite)
        classifier = Classifier.load(folder)
        data = read_mnist(mnist)
        target.mkdir(parents=True, exist_ok=True)  # now, not after minutes of measuring
    except (ModelError, DataError, OSError) as error:
        raise exit_unusable(error) from error
    with progress_bars() as bars:
        bar = bars.add_task("measure", total=steps(), note="")
        amounts = Amounts(disturbed=disturbed, foreign=foreign, scenes=scenes)
        trial = run_trial(classifier, split(data)[1], others, amounts, lambda: bars.advance(bar))
        costs = None
        if speed:
            clock = bars.add_task("speed", total=speedometer.steps(), note="")
            kept = work / "plain-chain.joblib"
            costs = speedometer.benchmark(classifier, data, kept, lambda: bars.advance(clock))
    typer.echo(write_card(classifier, trial, costs, target))


def cards(
    folders: Annotated[list[Path], typer.Argument(help="Folders of models, each with its figures.json.")],
) -> None:
    """Print the figures of several models' cards side by side, in Markdown."""
    with needs_training():
        from engine.training.report.side_by_side import page

    try:
        typer.echo(page(folders), nl=False)
    except OSError as error:
        raise exit_unusable(error) from error


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
