"""`digit-engine compare`: says which of two models is right where they disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.commands.console import JsonOption, exit_unusable
from engine.disputes import Comparison, DisputeError, read_disputes, read_labels
from engine.disputes import compare as compare_disputes
from engine.terminal import print_table

CHANCE = 0.05
"""From this p-value on the figures are called chance."""


def compare(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `digit-producer disagreements --to DIR` has written.")
    ],
    *,
    labels: Annotated[
        Path, typer.Option("--labels", metavar="CSV", help="What the pictures show: file,label; 0 to 9, or none.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Report which model is right where champion and challenger disagree, by labels given later.

    The p-value is that of McNemar's exact test: below 0.05, the difference is hardly chance.
    """
    try:
        compared = compare_disputes(read_disputes(folder), read_labels(labels))
    except DisputeError as error:
        raise exit_unusable(error) from error
    if as_json:
        typer.echo(msgspec.json.encode([each.figures() for each in compared]))
        return
    for each in compared:
        print_table(("", ""), _rows(each))
        typer.echo(_verdict(each))


def _rows(compared: Comparison) -> list[tuple[str, str]]:
    return [
        ("champion", compared.champion),
        ("challenger", compared.challenger),
        ("pictures on which they disagree", f"{compared.disputed:,}"),
        ("of these with a label", f"{compared.labelled:,}"),
        ("only the champion is right", f"{compared.champion_right:,}"),
        ("only the challenger is right", f"{compared.challenger_right:,}"),
        ("neither is right", f"{compared.neither_right:,}"),
        ("p-value (McNemar, exact, two-sided)", f"{compared.p_value:.3g}"),
    ]


def _verdict(compared: Comparison) -> str:
    if compared.p_value >= CHANCE:
        return "The labels do not show that one model is better: such a difference may be chance."
    better = "challenger" if compared.challenger_right > compared.champion_right else "champion"
    return f"The {better} is right more often."
