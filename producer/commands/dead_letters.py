"""`digit-producer dead-letters`: what failed, to look at."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from producer import display
from producer.commands.selecting import (
    COLUMNS,
    Code,
    Offset,
    Partition,
    Since,
    Topic,
    Until,
    cells,
    chosen_filter,
    refuse_impossible,
)
from producer.commands.shared import AsJson, load_settings, run
from producer.display import complain
from producer.errors import Exit
from producer.replay.dead_letters import Filter, Found, Stranger, read_letters, save
from transport.admin.cluster import look_around
from transport.reading.log_reader import spans
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer dead-letters --code damaged-image --since 2026-01-31
  digit-producer dead-letters --partition 3 --offset 1042 --save ./look"""


def dead_letters(
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    save_to: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the bytes into this folder, to look at.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what failed: one line for each dead letter."""
    which = chosen_filter(code=code, since=since, until=until, topic=topic, partition=partition, offset=offset)
    run(_dead_letters(load_settings(), which, save_to, as_json=as_json))


async def _dead_letters(settings: ClientSettings, which: Filter, save_to: Path | None, *, as_json: bool) -> Exit:
    async with look_around(settings.kafka, complain) as cluster:
        await refuse_impossible(settings, cluster, which)
        partitions = cluster.partitions(settings.topics, "dead_letter")
        now = await spans(settings.kafka, partitions, open_transactions=False)
    rows = []
    async with contextlib.aclosing(read_letters(settings.kafka, now)) as letters:
        async for found in letters:
            if isinstance(found, Stranger):
                place = f"{found.partition.topic}/{found.partition.partition}/{found.offset}"
                display.complain(f"{place} is no dead letter: {found.why}")
            elif which.takes(found):
                saved = save(found, save_to) if save_to is not None else None
                if as_json:
                    display.print_json(_with_place(found, saved, asked=save_to is not None))
                else:
                    rows.append((*cells(found), str(saved) if saved else found.letter.error_message))
    if not as_json:
        display.print_table((*COLUMNS, "saved as" if save_to is not None else "message"), rows)
    return Exit.OK


def _with_place(found: Found, saved: Path | None, *, asked: bool) -> dict[str, object]:
    return found.summary() | ({"saved_as": str(saved) if saved else None} if asked else {})
