"""`digit-engine`: everything about reading digits that needs no Kafka."""

from __future__ import annotations

import typer

from engine.classify import classify
from engine.commands import benchmark, card, evaluate, import_sklearn, train

main = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Read images of handwritten digits; train, evaluate and measure the model that does it.",
)
main.command()(classify)
main.command()(evaluate)
main.command()(benchmark)
main.command()(train)
main.command()(card)
main.command("import-sklearn")(import_sklearn)
