"""`digit-engine`: the commands that need no Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.commands.classify import classify
from engine.commands.collecting import collect
from engine.commands.comparing import compare
from engine.commands.importing import import_onnx
from engine.commands.measuring import benchmark, card, cards, evaluate
from engine.commands.modelling import import_sklearn, train
from engine.commands.reference import reference
from engine.commands.registry import models
from engine.commands.training_cnn import train_cnn
from release.option import version_option

main = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
main.command()(classify)
main.command()(evaluate)
main.command()(benchmark)
main.command()(compare)
main.command()(train)
main.command("train-cnn")(train_cnn)
main.command()(card)
main.command()(cards)
main.command("import-sklearn")(import_sklearn)
main.add_typer(models, name="models")
main.command("import-onnx")(import_onnx)
main.command()(reference)
main.command()(collect)


@main.callback()
def common(*, version: Annotated[bool, version_option("digit-engine")] = False) -> None:
    """Read images of handwritten digits; train, evaluate and measure models."""
    del version  # it has ended the program
