"""Reads the end of a partition of results, and single requests, with clients of its own outside any group."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.opening.after_results import Record
from consumer.partitions.opening.position import SECOND_LOOK_PAUSE_S, SECOND_LOOKS
from consumer.partitions.state import OffsetLost
from contract.topics import CLOCK_TOLERANCE_MS
from transport.errors import OwnershipLost
from transport.record_batch import Unreadable

log = structlog.get_logger()

ANSWER_S: Final = 15.0
"""How long to wait for the next answer of the brokers."""
SEARCH_S: Final = 120.0
"""How long to look for a result."""
POLL_MS: Final = 500
POLL_RECORDS: Final = 500
"""Parsed at once: some milliseconds, in which the event loop does nothing else."""
UNDECIDED_PAUSE_S: Final = 0.25
ABORT_INTERVAL_S: Final = 10.0
"""A broker looks so often for transactions that have timed out."""
OTHERWISE: Final = (
    "DIGITS_KAFKA__AUTO_OFFSET_RESET=earliest answers everything again that is in the log, latest skips it"
)


class Reader:
    """Reads spans of partitions. Owner: the task that looks for a result.

    Parameters
    ----------
    client
        A started consumer outside any group that reads what is committed.
    deadline_s
        When to give up, of the monotonic clock.
    """

    def __init__(self, client: AIOKafkaConsumer, deadline_s: float) -> None:
        self._client = client
        self._deadline_s = deadline_s

    async def read(self, partition: TopicPartition, span: range) -> AsyncGenerator[Sequence[Record], None]:
        """Give the committed records of a span in order, some at a time.

        Raises
        ------
        OffsetLost
            It takes too long.
        TimeoutError
            Nothing comes.
        """
        self._client.assign([partition])  # no await until it is positioned: it never has to ask where to start
        self._client.seek(partition, span.start)
        moved_s, position = time.monotonic(), span.start
        while position < span.stop:
            self._check_deadline(partition)
            async with asyncio.timeout(ANSWER_S):
                fetched = await self._client.getmany(partition, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                before, position = position, await self._client.position(partition)
            if records := [record for record in fetched.get(partition, []) if record.offset < span.stop]:
                yield records
            if position > before:  # also past markers and aborted records, of which nothing is given
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > ANSWER_S:
                raise TimeoutError(f"nothing can be read from offset {position} on")

    async def first(self, partition: TopicPartition, span: range) -> Record | None:
        """Return the first committed record of a span, None if there is none."""
        if not span:
            return None
        async with contextlib.aclosing(self.read(partition, span)) as reading:
            async for records in reading:
                return records[0]
        return None

    async def first_since(self, results: TopicPartition, log: range, request: Record | None) -> int:
        """Return where the results of a request and those after it can begin: none is older than its request."""
        if request is None or isinstance(request, Unreadable) or request.timestamp <= CLOCK_TOLERANCE_MS:
            return log.start
        async with asyncio.timeout(ANSWER_S):
            found = await self._client.offsets_for_times({results: request.timestamp - CLOCK_TOLERANCE_MS})
        return log.stop if found[results] is None else max(log.start, found[results].offset)

    def _check_deadline(self, partition: TopicPartition) -> None:
        if time.monotonic() > self._deadline_s:
            raise OffsetLost(
                f"no result was found within {SEARCH_S:g} s in {partition.topic}/{partition.partition}, which holds "
                f"many of others: stop all instances and set the group's offset; or {OTHERWISE}",
                None,
            )


async def decided(client: AIOKafkaConsumer, results: TopicPartition, end: int, within_s: float) -> None:
    """Return when every transaction has ended that had begun below an offset.

    Our own producer has fenced its predecessor in this group. An instance of another group, for example of this one
    before it was renamed, may have sent results and not yet committed them. Such results cannot be read yet.

    Raises
    ------
    OwnershipLost
        One is still open.
    """
    begun_s, logged = time.monotonic(), False
    while True:
        async with asyncio.timeout(ANSWER_S):
            stable = (await client.end_offsets([results]))[results]
        if stable >= end:
            return
        name = f"{results.topic}/{results.partition}"
        if time.monotonic() - begun_s > within_s:
            raise OwnershipLost(
                f"a transaction in {name} hides the results from offset {stable} on, for {within_s:g} s now"
            )
        if not logged:
            log.info("transaction is open", partition=name, offset=stable, action=f"waiting {within_s:g} s for its end")
            logged = True
        await asyncio.sleep(UNDECIDED_PAUSE_S)


async def looked_at_again(client: AIOKafkaConsumer, source: TopicPartition, requests: range, offset: int) -> range:
    """Return the offsets of a log once an offset is among them, or after some looks: see `SECOND_LOOK_PAUSE_S`."""
    for _ in range(SECOND_LOOKS):
        if offset < requests.stop:
            break
        await asyncio.sleep(SECOND_LOOK_PAUSE_S)
        async with asyncio.timeout(ANSWER_S):
            requests = range(requests.start, (await client.end_offsets([source]))[source])
    return requests
