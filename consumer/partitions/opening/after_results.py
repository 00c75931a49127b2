"""Which request was answered last, as the results say: the partition goes on after it if its group has no offset.

Results of a partition are published in the order of its requests, and those of one request in one transaction. So
the newest committed result names the last request that was answered, and is the last of its items.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from aiokafka import ConsumerRecord, TopicPartition

from contract.records import Result, read_result, request_id
from transport.record_batch import Unreadable

FIRST_STEP: Final = 256
"""Offsets read first: usually the newest result is among them."""
LONGEST_STEP: Final = 16_384
STEP_GROWTH: Final = 4

Record: TypeAlias = ConsumerRecord | Unreadable
Read = Callable[[range], AsyncIterator[Sequence[Record]]]
"""Reads the committed records between two offsets, in order, some at a time."""


class Start(NamedTuple):
    """Where a partition goes on whose group has no offset."""

    offset: int
    why: str
    """What it follows from, for the log."""
    is_known: bool
    """True if the results decided; false if none was found, as in a new deployment."""


async def newest_result(read: Read, log: range, source: TopicPartition) -> Result | None:
    """Return the newest result of a partition of requests, None if there is none.

    Parameters
    ----------
    read
        Reads the partition of results, of which only some may be of `source`.
    log
        Its offsets.
    source
        The partition of requests.
    """
    for step in backwards(log):
        found = None
        async for records in read(step):
            found = newest_among(records, source) or found
        if found is not None:
            return found
    return None


def backwards(log: range) -> Iterator[range]:
    """Cut a log into steps that grow from its end to its start."""
    end, size = log.stop, FIRST_STEP
    while end > log.start:
        start = max(log.start, end - size)
        yield range(start, end)
        end, size = start, min(size * STEP_GROWTH, LONGEST_STEP)


def newest_among(records: Sequence[Record], source: TopicPartition) -> Result | None:
    """Return the last result of a partition of requests; whatever else lies there is passed over."""
    # A result repeats its place as `"topic/partition/…"`. This keeps the results of other partitions from being parsed.
    mark = f'"{request_id(source.topic, source.partition, 0)[:-1]}'.encode()
    for record in reversed(records):
        if isinstance(record, Unreadable) or record.value is None or mark not in record.value:
            continue
        try:
            result = read_result(record.value)
        except ValueError:
            continue
        if (result.source.topic, result.source.partition) == source:
            return result
    return None


def start_after(newest: Result | None, log: range, request: Record | None) -> Start:
    """Decide where to go on.

    Parameters
    ----------
    newest
        The newest result of the partition.
    log
        The offsets of its requests.
    request
        The first record of the log from the result's own request on, None if there is none.
    """
    if newest is None:
        return Start(log.start, "there are no results of this partition", is_known=False)
    offset = newest.source.offset
    name = f"request {offset}"
    if offset >= log.stop or (offset >= log.start and not _answers(newest, request)):
        # Results are in order: if the newest one is not of this log, no request of this log has been answered.
        why = f"the newest result is of a {name} that is not in this log: the topic was created again"
        return Start(log.start, why, is_known=True)
    if offset < log.start:
        gone = f"{name} was answered last, and the log starts at {log.start}"
        if offset + 1 < log.start:
            gone += ": retention has deleted requests after it, answered or not"
        return Start(log.start, gone, is_known=True)
    if newest.item.index < newest.item.count - 1:
        why = f"{name} was answered last, but only up to item {newest.item.index} of {newest.item.count}"
        return Start(offset, why, is_known=True)
    return Start(offset + 1, f"{name} was answered last", is_known=True)


def _answers(result: Result, request: Record | None) -> bool:
    """Say whether a result can be that of a request: one at the same offset of another log has another timestamp."""
    if request is None or request.offset != result.source.offset:
        return False
    return isinstance(request, Unreadable) or request.timestamp == result.source.timestamp_ms
