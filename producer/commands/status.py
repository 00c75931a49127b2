"""`digit-producer status`: shows the progress of the group by partition: lag, member, and rates."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from engine.terminal import stdout, table
from producer import display
from producer.commands.shared import AsJson, load_settings, run
from producer.display import print_message
from producer.errors import Exit
from producer.status import PartitionProgress, Snapshot, open_snapshots, partition_progress
from release.printable import printable
from transport.settings.kafka import ClientSettings

_STATES: Final = {"Dead": "the brokers do not know it"}
"""Other words for a state of Kafka: it calls a group dead that has never existed, or that it has forgotten."""
EXAMPLES = """\
Examples:
  digit-producer status
  digit-producer status --refresh --interval-s 5
  digit-producer status --json | jq '.partitions[] | select(.lag > 0)'"""


def status(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Refresh the tables until Ctrl-C.")] = False,
    watch: Annotated[bool, typer.Option("--watch", hidden=True, help="The old name of --refresh.")] = False,
    interval_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two snapshots, from which the rates are computed.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Show the progress of the group in each partition of the requests: its lag, its member, and the rates.

    Rates are the differences of two snapshots. Offsets include the markers of transactions: after a transactional
    sender, a lag may remain although no request waits.
    """
    if watch:
        print_message("--watch is deprecated: use --refresh, which does the same")
        refresh = True
    settings = load_settings()
    run(
        _status(settings, refresh=refresh, interval_s=interval_s, as_json=as_json),
        interrupted=Exit.OK if refresh else Exit.INTERRUPTED,
    )


async def _status(settings: ClientSettings, *, refresh: bool, interval_s: float, as_json: bool) -> Exit:
    async with open_snapshots(settings) as take_snapshot:
        before = await take_snapshot()
        with _display(settings, refresh=refresh, as_json=as_json) as show:
            while True:
                await asyncio.sleep(interval_s)
                now = await take_snapshot()
                show(now, before)
                if not refresh:
                    return Exit.OK
                before = now


@contextlib.contextmanager
def _display(
    settings: ClientSettings, *, refresh: bool, as_json: bool
) -> Iterator[Callable[[Snapshot, Snapshot], None]]:
    """Yield a function that shows two snapshots: as JSON, as tables, or on a terminal as tables that are refreshed."""
    console = stdout()
    if as_json:
        yield lambda now, before: display.print_json(_record(settings, now, before))
    elif refresh and console.is_terminal:
        with Live(console=console, auto_refresh=False) as screen:
            yield lambda now, before: screen.update(_tables(settings, now, before), refresh=True)
    else:
        yield lambda now, before: console.print(_tables(settings, now, before))


def _record(settings: ClientSettings, now: Snapshot, before: Snapshot) -> dict[str, Any]:
    return {
        "topic": settings.topics.requests,
        "group_id": settings.kafka.group_id,
        "state": now.group.state,
        "partitions": [
            asdict(row) | {"owner": None if row.owner is None else row.owner.member_id}
            for row in partition_progress(now, before)
        ],
        "members": [
            {"member_id": member.member_id, "client_id": member.client_id, "host": member.host}
            for member in now.group.members
        ],
    }


def _tables(settings: ClientSettings, now: Snapshot, before: Snapshot) -> RenderableType:
    found, state = partition_progress(now, before), now.group.state
    members = [
        (str(number), member.member_id, member.client_id, member.host, str(len(member.partitions)))
        for number, member in enumerate(now.group.members, 1)
    ]
    numbers = {member.member_id: str(number) for number, member in enumerate(now.group.members, 1)}
    return Group(
        Text(printable(f"group {settings.kafka.group_id} ({_STATES.get(state, state)}) on {settings.topics.requests}")),
        table(
            ("partition", "log start", "committed", "end", "lag", "written/s", "answered/s", "member"),
            [*(_cells(row, numbers) for row in found), _total(found)],
        ),
        table(("member", "id", "client", "host", "partitions"), members)
        if members
        else Text("the group has no members: digit-consumer does not run"),
    )


def _cells(row: PartitionProgress, numbers: dict[str, str]) -> tuple[str, ...]:
    return (
        str(row.partition),
        f"{row.log_start:,}",
        "none" if row.committed is None else f"{row.committed:,}",
        f"{row.end:,}",
        f"{row.lag:,}",
        f"{row.written_per_s:,.0f}",
        f"{row.answered_per_s:,.0f}",
        "none" if row.owner is None else numbers[row.owner.member_id],
    )


def _total(found: list[PartitionProgress]) -> tuple[str, ...]:
    written, answered = sum(row.written_per_s for row in found), sum(row.answered_per_s for row in found)
    return ("all", "", "", "", f"{sum(row.lag for row in found):,}", f"{written:,.0f}", f"{answered:,.0f}", "")
