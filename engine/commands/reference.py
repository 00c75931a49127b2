"""The command that writes a reference into a model, which the service compares its readings with: reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from engine.codecs.decode import Picture, decode
from engine.commands.console import OverwriteOption, exit_unusable, needs_training, progress_bars
from engine.commands.files import list_files
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.model.files import MANIFEST, ModelError, ModelFiles


def reference(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, or folders of them; labels are not needed.")
    ] = None,
    *,
    mnist: Annotated[
        Path | None,
        typer.Option("--mnist", help="Instead: the digits that training has held out, of what it has read here."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write it to.", show_default="the model's")] = None,
    version: Annotated[str | None, typer.Option(help="Its version.", show_default="the same")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write into a model what its readings look like, for the service to notice drift.

    Take at least 1,000 pictures, better 10,000, as the service is to get them, that the model has not learned from.
    Files that cannot be decoded are left out. Nothing else in the model changes.
    """
    with needs_training():
        from engine.training.data.labelled import DataError
        from engine.training.data.sources import read_training_digits
        from engine.training.fit.naming import refuse_to_overwrite
        from engine.training.fit.reference import reference_of_pictures, write_reference
        from engine.training.fit.train import split

    if (mnist is None) == (not pictures):
        raise typer.BadParameter("give either pictures or --mnist")
    folder = out or model
    try:
        refuse_to_overwrite(folder / MANIFEST, overwrite=overwrite)
        files = ModelFiles.read(model)
        shown: Iterable[Picture]
        if mnist is not None:
            held_out = split(read_training_digits(mnist))[1]
            count, shown = len(held_out), (Picture((digit * 255).round().astype("uint8")) for digit in held_out.digits)
        else:
            listed = list_files(pictures or [])
            count, shown = len(listed), _decoded(listed)
        with progress_bars() as bars:
            bar = bars.add_task("read", total=count, note="")
            found = reference_of_pictures(Classifier.load_files(files), shown, lambda read: bars.advance(bar, read))
        info = write_reference(files, found, folder, version)
    except (OSError, ModelError, DataError) as error:
        raise exit_unusable(error) from error
    digits = ", ".join(f"{name}: {count}" for name, count in zip([*range(10), "unsure"], found.digits, strict=True))
    typer.echo(f"{folder}: {info.name} {info.version}, reference of {sum(found.digits):,} readings ({digits})")


def _decoded(paths: list[Path]) -> Iterable[Picture]:
    limits = Limits()
    for path in paths:
        try:
            yield decode(path.read_bytes(), limits)
        except EngineError:  # the service answers it as failed, which is no reading
            continue
