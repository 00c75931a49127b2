"""Options by which `dead-letters` and `replay` choose, and how both show a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from aiokafka import TopicPartition

from contract import headers
from contract.errors import ErrorCode
from producer.errors import UsageProblem
from producer.replay.dead_letters import Filter, Found
from transport.admin.cluster import Cluster
from transport.reading.log_reader import spans
from transport.settings.kafka import ClientSettings

COLUMNS: Final = ("failed at", "result id", "code", "name", "bytes", "attempt")

Code = Annotated[
    list[ErrorCode] | None,
    typer.Option(metavar="CODE", help=f"Error code, such as {ErrorCode.WORKER_CRASHED}; may be given several times."),
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Failed at or after, such as 2026-01-31T12:00Z.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Failed before.")]
Topic = Annotated[str | None, typer.Option(help="Topic of the request.")]
Partition = Annotated[int | None, typer.Option(min=0, help="Partition of the request.")]
Offset = Annotated[int | None, typer.Option(min=0, help="Offset of the request.")]


def chosen_filter(
    *,
    code: Sequence[ErrorCode] | None,
    since: str | None,
    until: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
) -> Filter:
    """Make a filter of the options.

    Raises
    ------
    typer.BadParameter
        A time is none.
    """
    return Filter(
        codes=tuple(each.value for each in code or ()),
        since_ms=_epoch_ms(since, "--since"),
        until_ms=_epoch_ms(until, "--until"),
        topic=topic,
        partition=partition,
        offset=offset,
    )


async def refuse_impossible(settings: ClientSettings, cluster: Cluster, which: Filter) -> None:
    """Refuse the place of a request that does not exist: such a filter takes nothing, and looks as if all were well.

    Raises
    ------
    UsageProblem
        There is no such topic, no such partition of it, or its log does not reach to the offset.
    """
    if (which.topic, which.partition, which.offset) == (None, None, None):
        return
    topic = which.topic or settings.topics.requests
    count = cluster.partition_count(topic)
    if which.topic is not None and not count:
        raise UsageProblem(f"--topic {topic}: there is no such topic that this user may see")
    if not count:  # only the dead letters may be seen: there is nothing to compare with
        return
    if which.partition is not None and which.partition >= count:
        raise UsageProblem(f"--partition {which.partition}: topic {topic!r} has the partitions 0 to {count - 1}")
    if which.offset is not None:
        numbers = range(count) if which.partition is None else [which.partition]
        places = [TopicPartition(topic, number) for number in numbers]
        end = max(span.end for span in (await spans(settings.kafka, places, open_transactions=True)).values())
        if which.offset >= end:
            raise UsageProblem(f"--offset {which.offset}: the next record there will have offset {end}")


def cells(found: Found) -> tuple[str, ...]:
    """Return what `COLUMNS` say of a dead letter."""
    letter = found.letter
    filename = dict(letter.original_headers).get(headers.FILENAME) or b""  # a header may be without a value
    return (
        _moment(found.timestamp_ms),
        letter.result_id,
        letter.error_code,
        letter.item_name or filename.decode(errors="replace"),
        "left out" if found.value is None else f"{len(found.value):,}",
        str(letter.attempt),
    )


def _moment(epoch_ms: int) -> str:
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):  # not one that a calendar has: who writes to the topic sets its times
        return f"{epoch_ms} ms"


def _epoch_ms(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-01-31T12:00Z", param_hint=option) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # the same on every machine, as a filter's progress has to be
    return round(moment.timestamp() * 1000)
