"""Finds the last answered request from the results; a partition without a committed offset starts after it.

The results of a partition are published in the order of its requests, and all results of one request in one
transaction. So the newest committed result belongs to the last answered request, and to the last item of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from aiokafka import ConsumerRecord, TopicPartition

from contract.records import Result, read_result, request_id
from transport.record_batch import Unreadable

FIRST_STEP: Final = 256
"""Number of offsets read first: usually they contain the newest result."""
LONGEST_STEP: Final = 16_384
STEP_GROWTH: Final = 4

Record: TypeAlias = ConsumerRecord | Unreadable
Read = Callable[[range], AsyncIterator[Sequence[Record]]]
"""Reads the committed records between two offsets, in order and in parts."""


class StartOffset(NamedTuple):
    """Where a partition starts if the group has no offset in it."""

    offset: int
    why: str
    """The reason, for the log line."""
    is_known: bool
    """True if results were found, or if the policy is `latest`: then the offset is committed at once."""


async def newest_result(read: Read, log: range, source: TopicPartition) -> Result | None:
    """Return the newest result of a partition of requests; None if there is none.

    Parameters
    ----------
    read
        Reads the partition of results, which may also contain results of other partitions than `source`.
    log
        The offsets of that partition.
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
    """Cut a log into spans, from its end to its start; each span is longer than the one before."""
    end, size = log.stop, FIRST_STEP
    while end > log.start:
        start = max(log.start, end - size)
        yield range(start, end)
        end, size = start, min(size * STEP_GROWTH, LONGEST_STEP)


def newest_among(records: Sequence[Record], source: TopicPartition) -> Result | None:
    """Return the last result of a partition of requests; all other records are ignored."""
    # Each result contains the place of its request, `"topic/partition/…"`. This check avoids parsing the results of
    # other partitions.
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


def start_after(newest: Result | None, log: range, request: Record | None) -> StartOffset:
    """Return where the partition starts.

    Parameters
    ----------
    newest
        The newest result of the partition.
    log
        The offsets of its requests.
    request
        The first record of the log at or after the offset of the result's request; None if there is none.
    """
    if newest is None:
        return StartOffset(log.start, "there are no results of this partition", is_known=False)
    offset = newest.source.offset
    name = f"request {offset}"
    if offset >= log.stop or (offset >= log.start and not _answers(newest, request)):
        # Results are in order: if the newest result is not of this log, no request of this log was answered.
        why = f"the newest result is of a {name} that is not in this log: the topic was created again"
        return StartOffset(log.start, why, is_known=True)
    if offset < log.start:
        gone = f"{name} was answered last, and the log starts at {log.start}"
        if offset + 1 < log.start:
            gone += ": retention has deleted requests after it, answered or not"
        return StartOffset(log.start, gone, is_known=True)
    if newest.item.index < newest.item.count - 1:
        why = f"{name} was answered last, but only up to item {newest.item.index} of {newest.item.count}"
        return StartOffset(offset, why, is_known=True)
    return StartOffset(offset + 1, f"{name} was answered last", is_known=True)


def _answers(result: Result, request: Record | None) -> bool:
    """Return whether a result can belong to a request. A request of an older topic has another timestamp."""
    if request is None or request.offset != result.source.offset:
        return False
    return isinstance(request, Unreadable) or request.timestamp == result.source.timestamp_ms
