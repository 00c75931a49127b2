"""The options with which `dead-letters` and `replay` select, and the table row with which both show a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from aiokafka import TopicPartition

from contract import headers
from contract.errors import ErrorCode
from producer.errors import UsageError
from producer.replay.dead_letter_topic import DeadLetterRecord, Filter
from transport.admin.cluster import ClusterAdmin
from transport.reading.log_reader import offset_ranges
from transport.settings.kafka import ClientSettings

COLUMNS: Final = ("failed at", "result id", "code", "name", "bytes", "attempt")

Code = Annotated[
    list[ErrorCode] | None,
    typer.Option(metavar="CODE", help=f"Error code, such as {ErrorCode.WORKER_CRASHED}; may be given several times."),
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Failed at this time or later, such as 2026-01-31T12:00Z.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Failed before this time.")]
Topic = Annotated[str | None, typer.Option(help="Topic of the request.")]
Partition = Annotated[int | None, typer.Option(min=0, help="Partition of the request.")]
Offset = Annotated[int | None, typer.Option(min=0, help="Offset of the request.")]


def build_filter(
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
        A time cannot be parsed.
    """
    return Filter(
        codes=tuple(each.value for each in code or ()),
        since_ms=epoch_ms(since, "--since"),
        until_ms=epoch_ms(until, "--until"),
        topic=topic,
        partition=partition,
        offset=offset,
    )


async def check_origin_exists(settings: ClientSettings, cluster: ClusterAdmin, wanted: Filter) -> None:
    """Refuse a filter whose topic, partition or offset does not exist.

    Such a filter matches nothing, which would look as if nothing had failed.

    Raises
    ------
    UsageError
        There is no such topic, no such partition of it, or its log does not reach the offset.
    """
    if (wanted.topic, wanted.partition, wanted.offset) == (None, None, None):
        return
    topic = wanted.topic or settings.topics.requests
    count = cluster.partition_count(topic)
    if wanted.topic is not None and not count:
        raise UsageError(f"--topic {topic}: there is no such topic, or this user may not see it (ACL)")
    if not count:  # this user may see the dead letters only: there is nothing to compare with
        return
    if wanted.partition is not None and wanted.partition >= count:
        raise UsageError(f"--partition {wanted.partition}: topic {topic!r} has the partitions 0 to {count - 1}")
    if wanted.offset is not None:
        numbers = range(count) if wanted.partition is None else [wanted.partition]
        partitions = [TopicPartition(topic, number) for number in numbers]
        end = max(
            span.end for span in (await offset_ranges(settings.kafka, partitions, open_transactions=True)).values()
        )
        if wanted.offset >= end:
            raise UsageError(f"--offset {wanted.offset}: the next record there will have offset {end}")


def table_row(record: DeadLetterRecord) -> tuple[str, ...]:
    """Return the cells of a dead letter, one for each of `COLUMNS`."""
    dead_letter = record.dead_letter
    filename = dict(dead_letter.original_headers).get(headers.FILENAME) or b""  # the value of a header may be null
    return (
        _moment(record.timestamp_ms),
        dead_letter.result_id,
        dead_letter.error_code,
        dead_letter.item_name or filename.decode(errors="replace"),
        "left out" if record.value is None else f"{len(record.value):,}",
        str(dead_letter.attempt),
    )


def _moment(epoch_ms: int) -> str:
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):  # the sender sets a record's timestamp: it may be outside the calendar
        return f"{epoch_ms} ms"


def epoch_ms(text: str | None, option: str) -> int | None:
    """Parse a time; without a zone it is UTC.

    Raises
    ------
    typer.BadParameter
        It is not a time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time; write it like 2026-01-31T12:00Z", param_hint=option
        ) from error
    if moment.tzinfo is None:
        # UTC and not local time: the filter names its progress, so it has to be the same on every machine.
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
