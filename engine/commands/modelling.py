"""The commands that make a model: train, import-sklearn.

Each imports its training modules when it runs, so that `classify` starts without them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from engine.commands.console import (
    WORK,
    HandsOption,
    OverwriteOption,
    exit_unusable,
    needs_training,
    progress_bars,
)
from engine.model.files import MANIFEST, ModelError
from models import default_model

FeaturesName = Literal["skimage-hog", "pixels", "engine-hog"]


def train(
    mnist: Annotated[
        Path, typer.Option("--mnist", help="Folder with MNIST's two training files, or pictures as LABEL/*.")
    ],
    *,
    hands: HandsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the model to.", show_default="models/NAME-VERSION")
    ] = None,
    overwrite: OverwriteOption = False,
    work: Annotated[Path, typer.Option(help="Folder for finished stages: a second run continues there.")] = WORK,
    digits: Annotated[int | None, typer.Option(help="Train on this many digits only, to try something.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the digits, before the last ones.", show_default="the plan's")
    ] = None,
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
        from engine.training.fit.learn import Plan
        from engine.training.fit.naming import model_folder, next_version, refuse_to_overwrite
        from engine.training.fit.train import Settings
        from engine.training.fit.train import train as train_model
        from engine.training.hands.folder import read_hands

    try:
        others = read_hands(hands) if hands else None
        version = version or next_version(name, default_model())
        folder = out or model_folder(name, version)
        refuse_to_overwrite(folder / MANIFEST, overwrite=overwrite)
        data = read_training_digits(mnist).part(slice(0, digits))
        plan = Plan(seed=seed)
        if epochs is not None:
            plan = replace(plan, main=replace(plan.main, epochs=epochs))
        settings = Settings(name=name, version=version, plan=plan)
        with progress_bars() as bars:
            trained = train_model(data, others, settings, folder=folder, work=work, bars=bars)
    except (OSError, ModelError, DataError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{folder}: {trained.info.name} {trained.info.version}, sha256 {trained.info.sha256}")
    figures = {name: trained.manifest[name] for name in ("held_out", "held_out_hands", "hands")}
    typer.echo(msgspec.json.format(msgspec.json.encode(figures), indent=2))


def import_sklearn(
    saved: Annotated[Path, typer.Argument(help="Model saved by skops (its name ends in .skops), pickle or joblib.")],
    *,
    trusted: Annotated[
        bool,
        typer.Option(
            "--i-trust-this-file", help="Confirm that you trust a pickle: it can run code. Files of skops cannot."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")] = Path("imported-model"),
    overwrite: OverwriteOption = False,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model in every result.", show_default="imported-svc or imported-linear"),
    ] = None,
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    features: Annotated[
        FeaturesName,
        typer.Option(help="What the model was trained on: skimage.feature.hog, the pixels, or engine.model.hog."),
    ] = "skimage-hog",
    orientations: Annotated[int, typer.Option(help="HOG: directions.")] = 9,
    pixels_per_cell: Annotated[int, typer.Option(help="HOG: side of a cell.")] = 8,
    cells_per_block: Annotated[int, typer.Option(help="HOG: side of a block, in cells.")] = 3,
    block_norm: Annotated[str, typer.Option(help="HOG: L1, L1-sqrt, L2 or L2-Hys.")] = "L2-Hys",
    transform_sqrt: Annotated[bool, typer.Option(help="HOG: square root of the pixels first.")] = False,
    side_px: Annotated[int, typer.Option("--image-size", help="Side of the training pictures, in pixels.")] = 28,
    dark_ink: Annotated[
        bool, typer.Option("--dark-ink/--bright-ink", help="Polarity of the training pictures.")
    ] = False,
    white: Annotated[
        float | None,
        typer.Option(help="Value of their brightest pixel.", show_default="255; 1 for engine-hog"),
    ] = None,
    canvas: Annotated[
        bool, typer.Option("--canvas/--as-it-is", help="Find and centre the digit first, or use pictures unchanged.")
    ] = False,
) -> None:
    """Convert a model of scikit-learn to one that is served without it and without pickle.

    SVC, LinearSVC, SGDClassifier, LogisticRegression, and OneVsRestClassifier of the linear ones; each also in a
    Pipeline after StandardScaler or PCA, and in CalibratedClassifierCV.
    """
    with needs_training():
        from engine.model.frame import Frame
        from engine.model.imported.block_hog import BlockHog
        from engine.model.imported.features import EngineHog, Features, Pixels
        from engine.training.fit.naming import refuse_to_overwrite
        from engine.training.sklearn_import.errors import SklearnError
        from engine.training.sklearn_import.run import Naming
        from engine.training.sklearn_import.run import import_sklearn as convert

    try:
        refuse_to_overwrite(out / MANIFEST, overwrite=overwrite)
        described: Features
        if features == "skimage-hog":
            described = BlockHog(orientations, pixels_per_cell, cells_per_block, block_norm, transform_sqrt)
        else:
            described = Pixels() if features == "pixels" else EngineHog()
        if white is None:
            white = 1 if features == "engine-hog" else 255
        frame = Frame(side_px, not dark_ink, white, canvas)
        made = convert(saved, out, frame, described, Naming(name, version), trusted=trusted)
    except (OSError, ValueError, ModelError, SklearnError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{out}: {made.info.name} {made.info.version}, sha256 {made.info.sha256}")
