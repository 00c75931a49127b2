"""The command that trains the convolutional network: train-cnn. It imports what needs the extras when it runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from engine.commands.console import WORK, HandsOption, OverwriteOption, exit_unusable, needs_training, progress_bars
from engine.model.files import MANIFEST, ModelError
from models import default_model

_NAME = "digits-cnn"


def train_cnn(
    mnist: Annotated[
        Path, typer.Option("--mnist", help="Folder with MNIST's two training files, or pictures as LABEL/*.")
    ],
    *,
    hands: HandsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the model to.", show_default="models/NAME-VERSION")
    ] = None,
    overwrite: OverwriteOption = False,
    work: Annotated[
        Path,
        typer.Option(help="Folder for finished stages and epochs: a second run continues there. `train` may share it."),
    ] = WORK,
    digits: Annotated[int | None, typer.Option(help="Train on this many digits only, to try something.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the digits, before the last ones.", show_default="the plan's")
    ] = None,
    precision: Annotated[
        Literal["mixed_bfloat16", "float32"],
        typer.Option(help="Of the products in training: float32 is faster on processors without bfloat16."),
    ] = "mixed_bfloat16",
    threads: Annotated[int | None, typer.Option(help="Threads.", show_default="one for each core")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    name: Annotated[str, typer.Option(help="Part of the model's identity in every result.")] = _NAME,
    version: Annotated[
        str | None,
        typer.Option(
            help="Part of the model's identity in every result.", show_default="the highest so far, counted up"
        ),
    ] = None,
) -> None:
    """Train a small convolutional network on the same digits and pictures as `train`, and save it in ONNX.

    The last sixth of the digits is only measured. A training that was stopped goes on with the epoch where it was.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's errors, without its remarks on the processor
    with needs_training():
        import tensorflow as tf  # noqa: PLC0415  # needs an optional extra

        from engine.training.cnn.train import CnnSettings, train  # noqa: PLC0415  # as above
        from engine.training.data.labelled import DataError  # noqa: PLC0415  # as above
        from engine.training.data.sources import read_training_digits  # noqa: PLC0415  # as above
        from engine.training.fit.naming import (  # noqa: PLC0415  # as above
            model_folder,
            next_version,
            refuse_to_overwrite,
        )
        from engine.training.hands.folder import read_hands  # noqa: PLC0415  # as above

    tf.config.threading.set_intra_op_parallelism_threads(threads or os.cpu_count() or 1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        others = read_hands(hands) if hands else None
        version = version or next_version(name, default_model().parent / _NAME)
        folder = out or model_folder(name, version)
        refuse_to_overwrite(folder / MANIFEST, overwrite=overwrite)
        data = read_training_digits(mnist).part(slice(0, digits))
        settings = CnnSettings(name=name, version=version)
        plan = replace(settings.plan, seed=seed, precision=precision)
        if epochs is not None:
            plan = replace(plan, main=replace(plan.main, epochs=epochs))
        with progress_bars() as bars:
            trained = train(data, others, replace(settings, plan=plan), folder=folder, work=work, bars=bars)
    except (OSError, ModelError, DataError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{folder}: {trained.info.name} {trained.info.version}, sha256 {trained.info.sha256}")
    figures = {name: trained.manifest[name] for name in ("held_out", "held_out_hands", "hands")}
    typer.echo(msgspec.json.format(msgspec.json.encode(figures), indent=2))
