"""`digit-producer replay`: what failed, sent in again."""

from __future__ import annotations

import collections
import contextlib
from typing import Annotated

import typer
from rich.text import Text

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
from producer.replay.resend import replay as send_again
from producer.replay.selection import Chosen, Plan, preview
from transport.admin.cluster import look_around
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
        int, typer.Option(min=1, help="Leave alone what has been tried so often, the first time included.")
    ] = 3,
    limit: Annotated[int | None, typer.Option(min=1, help="Send so many at most.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Send so many a second at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters in again, each once: key, headers and bytes as they were.

    Interrupted and repeated with the same filter, it goes on where it was; the broker keeps that for as
    long as any group's offsets (by default 7 days). Another filter starts anew.
    """
    which = chosen_filter(code=code, since=since, until=until, topic=topic, partition=partition, offset=offset)
    plan = Plan(which, max_attempts, limit, rate)
    settings = load_settings()
    run(_preview(settings, plan, as_json=as_json) if dry_run else _replay(settings, plan, as_json=as_json))


async def _preview(settings: ClientSettings, plan: Plan, *, as_json: bool) -> Exit:
    rows = []
    async with look_around(settings.kafka, complain) as cluster:
        await refuse_impossible(settings, cluster, plan.which)
        async with contextlib.aclosing(preview(settings, cluster, plan)) as some:
            async for chosen in some:  # of each no more is kept than is shown: its bytes may be many
                if as_json:
                    display.print_json(_line(chosen, None))
                else:
                    rows.append((*cells(chosen.found), chosen.obstacle or "would be sent"))
    if not as_json:
        display.print_table((*COLUMNS, "replay"), rows)
    return Exit.OK


async def _replay(settings: ClientSettings, plan: Plan, *, as_json: bool) -> Exit:
    fates: collections.Counter[str] = collections.Counter()

    async with look_around(settings.kafka, complain) as cluster:
        await refuse_impossible(settings, cluster, plan.which)
        with display.progress() as bar:
            task = bar.add_task("sent again", total=plan.limit)

            def told(chosen: Chosen, offset: int | None) -> None:
                fates["sent" if chosen.obstacle is None else "left"] += 1
                bar.update(task, completed=fates["sent"])
                if as_json:
                    display.print_json(_line(chosen, offset))

            await send_again(settings, cluster, plan, told)
    if not as_json:
        display.print_line(Text(f"{fates['sent']} sent again, {fates['left']} left alone (--dry-run tells why)"))
    return Exit.OK


def _line(chosen: Chosen, offset: int | None) -> dict[str, object]:
    """Return the letter, and where the new request lies once it does."""
    place = {"topic": chosen.target.topic, "partition": chosen.target.partition, "offset": offset}
    return {**chosen.found.summary(), "obstacle": chosen.obstacle, "replayed_as": None if offset is None else place}
