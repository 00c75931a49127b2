"""`digit-producer unsure`: saves the requests whose answers are unsure."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from producer import display
from producer.commands.filter_options import epoch_ms
from producer.commands.shared import load_settings, run
from producer.display import print_message
from producer.errors import Exit, UsageError
from producer.unsure import ANSWERS, UnsureFolder, unsure_answers
from transport.admin.cluster import open_cluster
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer unsure --to ./unsure --since 2026-01-31 --limit 1000
  digit-engine collect ./unsure --to ./to-label"""


def unsure(
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the requests and their answers.")],
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Read at this time or later, such as 2026-01-31T12:00Z.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Save this many answers at most.")] = None,
) -> None:
    """Save the requests that have unsure answers, as they were sent, with the answers.

    `digit-engine collect` then takes the pictures out of archives, and sorts all into folders to be labelled.
    """
    run(_unsure(load_settings(), to, epoch_ms(since, "--since") or 0, limit))


async def _unsure(settings: ClientSettings, to: Path, since_ms: int, limit: int | None) -> Exit:
    if (to / ANSWERS).exists():
        raise UsageError(f"{str(to / ANSWERS)!r} exists: choose another folder")
    folder, saved, gone = UnsureFolder(to), 0, 0
    async with (
        open_cluster(settings.kafka, print_message) as cluster,
        contextlib.aclosing(unsure_answers(settings, cluster, since_ms)) as answers,
    ):
        async for result, value in answers:
            if value is None:
                gone += 1
                continue
            folder.add(result, value)
            saved += 1
            if saved == limit:
                break
    display.print_line(f"{saved:,} unsure answers saved in {to}; the requests of {gone:,} others are no longer there")
    return Exit.OK
