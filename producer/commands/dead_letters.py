"""`digit-producer dead-letters`: lists what failed, and saves the original bytes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from engine.terminal import print_table
from producer import display
from producer.commands.filter_options import (
    COLUMNS,
    Code,
    Offset,
    Partition,
    Since,
    Topic,
    Until,
    build_filter,
    check_origin_exists,
    table_row,
)
from producer.commands.shared import AsJson, load_settings, run
from producer.display import print_message
from producer.errors import Exit
from producer.replay.dead_letter_topic import Filter, UnknownRecord, read_dead_letters, save
from transport.admin.cluster import open_cluster
from transport.reading.log_reader import offset_ranges
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer dead-letters --code damaged-image --since 2026-01-31
  digit-producer dead-letters --partition 3 --offset 1042 --save ./failed"""


def dead_letters(
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    save_to: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the original bytes into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, one line for each failed item."""
    wanted = build_filter(code=code, since=since, until=until, topic=topic, partition=partition, offset=offset)
    run(_dead_letters(load_settings(), wanted, save_to, as_json=as_json))


async def _dead_letters(settings: ClientSettings, wanted: Filter, save_to: Path | None, *, as_json: bool) -> Exit:
    async with open_cluster(settings.kafka, print_message) as cluster:
        await check_origin_exists(settings, cluster, wanted)
        partitions = cluster.partitions(settings.topics, "dead_letter")
        now = await offset_ranges(settings.kafka, partitions, open_transactions=False)
    rows = []
    async with contextlib.aclosing(read_dead_letters(settings.kafka, now)) as records:
        async for record in records:
            if isinstance(record, UnknownRecord):
                where = f"{record.partition.topic}/{record.partition.partition}/{record.offset}"
                print_message(f"{where} is not a dead letter: {record.reason}")
            elif wanted.matches(record):
                saved = save(record, save_to) if save_to is not None else None
                if as_json:
                    saved_as = {} if save_to is None else {"saved_as": str(saved) if saved else None}
                    display.print_json(record.summary() | saved_as)
                else:
                    rows.append((*table_row(record), str(saved) if saved else record.dead_letter.error_message))
    if not as_json:
        print_table((*COLUMNS, "saved as" if save_to is not None else "message"), rows)
    return Exit.OK
