"""`digit-producer status`: how far the group has got, partition by partition, who works on it, and how fast."""

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

from producer import display
from producer.commands.shared import AsJson, load_settings, run
from producer.errors import Exit
from producer.status import Look, Row, looking, rows
from transport.settings.kafka import ClientSettings

_STATES: Final = {"Dead": "the brokers do not know it"}
"""In our words, where Kafka's mislead: a group that has never been, or is forgotten, is called dead."""
EXAMPLES = """\
Examples:
  digit-producer status
  digit-producer status --watch --interval-s 5
  digit-producer status --json | jq '.partitions[] | select(.lag > 0)'"""


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh the tables until Ctrl-C.")] = False,
    interval_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show how far the group has got in each partition of the requests, who works on it, and how fast.

    Rates are the differences of two looks. Offsets count the markers of transactions too: after a transactional
    sender, a lag may remain where no request waits.
    """
    settings = load_settings()
    run(
        _status(settings, watch=watch, interval_s=interval_s, as_json=as_json),
        interrupted=Exit.OK if watch else Exit.INTERRUPTED,
    )


async def _status(settings: ClientSettings, *, watch: bool, interval_s: float, as_json: bool) -> Exit:
    async with looking(settings) as look:
        before = await look()
        with _shown(settings, watch=watch, as_json=as_json) as show:
            while True:
                await asyncio.sleep(interval_s)
                now = await look()
                show(now, before)
                if not watch:
                    return Exit.OK
                before = now


@contextlib.contextmanager
def _shown(settings: ClientSettings, *, watch: bool, as_json: bool) -> Iterator[Callable[[Look, Look], None]]:
    """Give what shows two looks: a line of JSON, tables, or on a terminal tables that replace those before."""
    console = display.stdout()
    if as_json:
        yield lambda now, before: display.print_json(_record(settings, now, before))
    elif watch and console.is_terminal:
        with Live(console=console, auto_refresh=False) as screen:
            yield lambda now, before: screen.update(_tables(settings, now, before), refresh=True)
    else:
        yield lambda now, before: console.print(_tables(settings, now, before))


def _record(settings: ClientSettings, now: Look, before: Look) -> dict[str, Any]:
    return {
        "topic": settings.topics.requests,
        "group_id": settings.kafka.group_id,
        "state": now.group.state,
        "partitions": [
            asdict(row) | {"owner": None if row.owner is None else row.owner.member_id} for row in rows(now, before)
        ],
        "members": [
            {"member_id": member.member_id, "client_id": member.client_id, "host": member.host}
            for member in now.group.members
        ],
    }


def _tables(settings: ClientSettings, now: Look, before: Look) -> RenderableType:
    found, state = rows(now, before), now.group.state
    members = [
        (str(number), member.member_id, member.client_id, member.host, str(len(member.partitions)))
        for number, member in enumerate(now.group.members, 1)
    ]
    numbers = {member.member_id: str(number) for number, member in enumerate(now.group.members, 1)}
    return Group(
        Text(f"group {settings.kafka.group_id} ({_STATES.get(state, state)}) on {settings.topics.requests}"),
        display.table(
            ("partition", "log start", "committed", "end", "lag", "written/s", "answered/s", "member"),
            [*(_cells(row, numbers) for row in found), _total(found)],
        ),
        display.table(("member", "id", "client", "host", "partitions"), members)
        if members
        else Text("the group has no members: no service runs"),
    )


def _cells(row: Row, numbers: dict[str, str]) -> tuple[str, ...]:
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


def _total(found: list[Row]) -> tuple[str, ...]:
    written, answered = sum(row.written_per_s for row in found), sum(row.answered_per_s for row in found)
    return ("all", "", "", "", f"{sum(row.lag for row in found):,}", f"{written:,.0f}", f"{answered:,.0f}", "")
