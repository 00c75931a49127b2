"""Reads the newest results of a partition, and single requests, with separate clients that are in no group."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.opening.after_results import Record
from consumer.partitions.opening.position import MAX_REREADS, REREAD_PAUSE_S
from consumer.partitions.state import OffsetLost
from contract.topics import CLOCK_TOLERANCE_MS
from transport.errors import OwnershipLost
from transport.record_batch import Unreadable

log = structlog.get_logger()

ANSWER_TIMEOUT_S: Final = 15.0
"""How long to wait for each answer of the brokers."""
SEARCH_TIMEOUT_S: Final = 120.0
"""How long to search for a result."""
POLL_MS: Final = 500
POLL_RECORDS: Final = 500
"""Records parsed at once. Parsing them blocks the event loop for some milliseconds."""
OPEN_TRANSACTION_PAUSE_S: Final = 0.25
ABORT_INTERVAL_S: Final = 10.0
"""Interval at which a broker aborts transactions that have timed out."""
OTHER_POLICIES: Final = (
    "set DIGITS_KAFKA__AUTO_OFFSET_RESET=earliest to answer every request in the log again, or latest to skip them"
)


class SpanReader:
    """Reads spans of partitions. Owner: the task that searches for a result.

    Parameters
    ----------
    client
        A started consumer that is in no group and reads committed records only.
    deadline_s
        When to stop searching, on the monotonic clock.
    """

    def __init__(self, client: AIOKafkaConsumer, deadline_s: float) -> None:
        self._client = client
        self._deadline_s = deadline_s

    async def read(self, partition: TopicPartition, span: range) -> AsyncGenerator[Sequence[Record], None]:
        """Yield the committed records of a span, in order, up to `POLL_RECORDS` at a time.

        Raises
        ------
        OffsetLost
            The deadline of the search has passed.
        TimeoutError
            The brokers sent nothing for `ANSWER_TIMEOUT_S`.
        """
        self._client.assign([partition])  # no await before `seek`: otherwise the client would look up a start offset
        self._client.seek(partition, span.start)
        moved_s, position = time.monotonic(), span.start
        while position < span.stop:
            self._check_deadline(partition)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                fetched = await self._client.getmany(partition, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                before, position = position, await self._client.position(partition)
            if records := [record for record in fetched.get(partition, []) if record.offset < span.stop]:
                yield records
            if position > before:  # markers and aborted records also move the position, but are not returned
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > ANSWER_TIMEOUT_S:
                raise TimeoutError(f"nothing can be read from offset {position} on")

    async def first(self, partition: TopicPartition, span: range) -> Record | None:
        """Return the first committed record of a span; None if there is none."""
        if not span:
            return None
        async with contextlib.aclosing(self.read(partition, span)) as reading:
            async for records in reading:
                return records[0]
        return None

    async def first_since(self, results: TopicPartition, log: range, request: Record | None) -> int:
        """Return the first offset at which results of a request, or of later requests, can be.

        A result is never older than its request, apart from the difference of two clocks.
        """
        if request is None or isinstance(request, Unreadable) or request.timestamp <= CLOCK_TOLERANCE_MS:
            return log.start
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = await self._client.offsets_for_times({results: request.timestamp - CLOCK_TOLERANCE_MS})
        return log.stop if found[results] is None else max(log.start, found[results].offset)

    def _check_deadline(self, partition: TopicPartition) -> None:
        if time.monotonic() > self._deadline_s:
            name = f"{partition.topic}/{partition.partition}"
            raise OffsetLost(
                f"no result was found within {SEARCH_TIMEOUT_S:g} s in {name}, which has many results of other "
                f"partitions: stop all instances and set the group's offset; or {OTHER_POLICIES}",
                None,
            )


async def wait_for_open_transactions(
    client: AIOKafkaConsumer, results: TopicPartition, end: int, timeout_s: float
) -> None:
    """Return when every transaction that began before an offset has ended.

    The lane's producer has already fenced the previous owner in this group. But an instance of another group, for
    example under the name before a renaming, may have sent results that it has not committed yet. They cannot be read
    now, and may be committed later.

    Raises
    ------
    OwnershipLost
        After `timeout_s`, a transaction is still open.
    """
    begun_s, is_logged = time.monotonic(), False
    while True:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            stable = (await client.end_offsets([results]))[results]
        if stable >= end:
            return
        name = f"{results.topic}/{results.partition}"
        if time.monotonic() - begun_s > timeout_s:
            raise OwnershipLost(
                f"an open transaction in {name} has hidden the results from offset {stable} on for {timeout_s:g} s"
            )
        if not is_logged:
            log.info("transaction open", partition=name, offset=stable, timeout_s=timeout_s, action="waiting")
            is_logged = True
        await asyncio.sleep(OPEN_TRANSACTION_PAUSE_S)


async def reread_log_end(client: AIOKafkaConsumer, source: TopicPartition, requests: range, offset: int) -> range:
    """Read the end of a log until it contains an offset, at most `MAX_REREADS` times, and return the log's offsets."""
    for _ in range(MAX_REREADS):
        if offset < requests.stop:
            break
        await asyncio.sleep(REREAD_PAUSE_S)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            requests = range(requests.start, (await client.end_offsets([source]))[source])
    return requests
