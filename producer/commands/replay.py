"""`digit-producer replay`: sends dead letters again as requests."""

from __future__ import annotations

import collections
import contextlib
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
from producer.replay.resend import replay as send_again
from producer.replay.selection import Candidate, Plan, preview
from transport.admin.cluster import open_cluster
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer replay --code worker-timeout --code worker-crashed --dry-run
  digit-producer replay --code worker-timeout --code worker-crashed --rate 20
  digit-producer replay --since 2026-01-31T12:00Z --until 2026-01-31T13:00Z --max-attempts 5"""


def replay(
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Skip items that have been tried this often, including the first time.")
    ] = 3,
    limit: Annotated[int | None, typer.Option(min=1, help="Send this many at most.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Send this many per second at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again as requests, each once, with the original key, headers and bytes.

    After an interruption, the same command continues where it stopped. The broker keeps that position for as long as
    it keeps the offsets of any group (by default 7 days). Another filter starts from the beginning.
    """
    wanted = build_filter(code=code, since=since, until=until, topic=topic, partition=partition, offset=offset)
    plan = Plan(wanted, max_attempts, limit, rate)
    settings = load_settings()
    run(_preview(settings, plan, as_json=as_json) if dry_run else _replay(settings, plan, as_json=as_json))


async def _preview(settings: ClientSettings, plan: Plan, *, as_json: bool) -> Exit:
    rows = []
    async with open_cluster(settings.kafka, print_message) as cluster:
        await check_origin_exists(settings, cluster, plan.filter)
        async with contextlib.aclosing(preview(settings, cluster, plan)) as candidates:
            async for candidate in candidates:  # only the row of each is kept: their bytes may not fit into memory
                if as_json:
                    display.print_json(_line(candidate, None))
                else:
                    rows.append((*table_row(candidate.record), candidate.obstacle or "would be sent"))
    if not as_json:
        print_table((*COLUMNS, "replay"), rows)
    return Exit.OK


async def _replay(settings: ClientSettings, plan: Plan, *, as_json: bool) -> Exit:
    counts: collections.Counter[str] = collections.Counter()

    async with open_cluster(settings.kafka, print_message) as cluster:
        await check_origin_exists(settings, cluster, plan.filter)
        with display.progress() as bar:
            task = bar.add_task("sent again", total=plan.limit)

            def on_done(candidate: Candidate, offset: int | None) -> None:
                counts["sent" if candidate.obstacle is None else "skipped"] += 1
                bar.update(task, completed=counts["sent"])
                if as_json:
                    display.print_json(_line(candidate, offset))

            await send_again(settings, cluster, plan, on_done)
    if not as_json:
        display.print_line(f"{counts['sent']} sent again, {counts['skipped']} skipped (--dry-run shows why)")
    return Exit.OK


def _line(candidate: Candidate, offset: int | None) -> dict[str, object]:
    """Return the dead letter, with the position of the new request once it is committed."""
    replayed_as = {"topic": candidate.target.topic, "partition": candidate.target.partition, "offset": offset}
    return {
        **candidate.record.summary(),
        "obstacle": candidate.obstacle,
        "replayed_as": None if offset is None else replayed_as,
    }
