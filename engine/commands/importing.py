"""The command that makes a model of a file in ONNX: import-onnx. It imports what needs the extra when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.commands.console import OverwriteOption, exit_unusable
from engine.model.files import MANIFEST, ModelError


def import_onnx(
    file: Annotated[Path, typer.Argument(help="Model in ONNX, with all weights in this file.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")] = Path("imported-model"),
    overwrite: OverwriteOption = False,
    name: Annotated[str, typer.Option(help="Name of the model in every result.")] = "imported-onnx",
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    output: Annotated[
        str | None, typer.Option(help="Output of ten numbers.", show_default="the only one of decimal numbers")
    ] = None,
    dark_ink: Annotated[
        bool, typer.Option("--dark-ink/--bright-ink", help="Polarity of the training pictures.")
    ] = False,
    white: Annotated[
        float, typer.Option(help="Value of their brightest pixel: 1, or 255 if they were not scaled.")
    ] = 1,
    mean: Annotated[float, typer.Option(help="Subtracted from the values after that.")] = 0,
    std: Annotated[float, typer.Option(help="The values are divided by this at last.")] = 1,
    canvas: Annotated[
        bool, typer.Option("--canvas/--as-it-is", help="Find and centre the digit first, or use pictures unchanged.")
    ] = False,
    labels: Annotated[str, typer.Option(help="The digits that the ten numbers stand for.")] = "0123456789",
    calibrate_on: Annotated[
        Path | None, typer.Option(help="Pictures as DIR/LABEL/*, which the model was not trained on.")
    ] = None,
    unsure_share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of these pictures that is to be unsure.")
    ] = 0.01,
) -> None:
    """Convert a model in ONNX, of any framework, to a model folder that the service serves.

    The order of its axes and the size of its pictures are read from its input.
    """
    try:
        from engine.training.data.labelled import DataError  # noqa: PLC0415  # as below
        from engine.training.fit.naming import refuse_to_overwrite  # noqa: PLC0415  # as above
        from engine.training.onnx_import.convert import (  # noqa: PLC0415  # needs an optional extra
            Description,
            OnnxError,
        )
        from engine.training.onnx_import.convert import import_onnx as convert  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"google", "onnx", "onnxruntime"}:
            raise
        raise exit_unusable(
            ImportError(f"this command needs {error.name}, which is not installed: pip install 'digitstream[onnx]'")
        ) from error

    if not labels.isdecimal():
        raise typer.BadParameter("give ten digits, such as 0123456789", param_hint="--labels")
    description = Description(
        name, version, output, not dark_ink, white, canvas, mean, std, tuple(int(label) for label in labels)
    )
    try:
        refuse_to_overwrite(out / MANIFEST, overwrite=overwrite)
        made = convert(file, out, description, calibrate_on, unsure_share)
    except (OSError, ModelError, OnnxError, DataError) as error:
        raise exit_unusable(error) from error
    typer.echo(f"{out}: {made.info.name} {made.info.version}, sha256 {made.info.sha256}")
