"""Sends dead letters again as requests, each once for a given filter, also if a run is interrupted.

One transaction holds some requests (with the original key, headers and bytes) and the progress of the filter after
them. Two runs of one filter may overlap. The transactional id is the name of the filter's group, so the producer of
the second run fences that of the first, and the next transaction of the first run fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from producer.replay.selection import Candidate, Plan, ScannedRecord, read_backlog, replay_headers, scan
from transport.admin.cluster import UNLIMITED_BYTES, ClusterAdmin
from transport.clients import open_producer, request_deadline
from transport.errors import KafkaRequestError
from transport.rate_limiter import RateLimiter
from transport.settings.kafka import ClientSettings

TRANSACTION_RECORDS: Final = 100
TRANSACTION_BYTES: Final = 8 * 1024 * 1024
"""A transaction takes no further record once its values have this many bytes."""
TRANSACTION_TIMEOUT_MS: Final = 30_000
"""The service reads nothing after an open transaction: one whose sender was killed ends after this time."""
ABORT_S: Final = 5.0


async def replay(
    settings: ClientSettings, cluster: ClusterAdmin, plan: Plan, on_done: Callable[[Candidate, int | None], None]
) -> None:
    """Send the dead letters that the plan selects.

    Parameters
    ----------
    settings, cluster, plan
        Where to read and send, and what.
    on_done
        Is called for each dead letter that the filter matches, after the commit: with the offset of the new request,
        or with None if there is an obstacle.

    Raises
    ------
    KafkaRequestError
        Kafka does not answer, or another run of the same filter has taken over. What `on_done` was called with is
        done; the same filter continues after it.
    """
    limit_bytes = await cluster.max_message_bytes(settings.topics.requests)
    async with open_producer(
        settings.kafka,
        max_request_bytes=limit_bytes or UNLIMITED_BYTES,
        transactional_id=plan.group(settings),
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    ) as producer:
        # Why the producer starts before the progress is read:
        #   1. An earlier run, stalled, has sent requests for the dead letters up to 512; its progress is 256.
        #   2. This run reads 256 and sends the same dead letters again.
        #   3. The earlier run continues and commits: requests 256 to 511 are there twice.
        # The start of the producer fences the earlier run and ends its transaction, so the commit of event 3 fails.
        # Forced by test_a_replay_that_wakes_after_a_takeover_sends_nothing.
        backlog = await read_backlog(settings, cluster, plan)
        replayer = _Replayer(producer, plan.group(settings), plan.rate_per_s, on_done)
        async with contextlib.aclosing(scan(settings, backlog, plan)) as scanned:
            async for record in scanned:
                await replayer.add(record)
        await replayer.commit()


class _Replayer:
    """Fills and commits transactions. Owner: the command's task."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        group: str,
        rate_per_s: float | None,
        on_done: Callable[[Candidate, int | None], None],
    ) -> None:
        self._producer = producer
        self._group = group
        self._limiter = None if rate_per_s is None else RateLimiter(rate_per_s)
        # At a low rate a transaction holds what may go out in a second, so that requests go out evenly.
        self._most_records = TRANSACTION_RECORDS if rate_per_s is None else min(TRANSACTION_RECORDS, rate_per_s)
        self._on_done = on_done
        self._candidates: list[Candidate] = []
        self._progress: dict[TopicPartition, int] = {}
        self._size_bytes = 0

    async def add(self, scanned: ScannedRecord) -> None:
        """Add a record to the transaction; commit it if it is large enough."""
        self._progress[scanned.partition] = scanned.next_offset
        if scanned.candidate is None:
            return
        self._candidates.append(scanned.candidate)
        self._size_bytes += len(scanned.candidate.record.value or b"")
        if len(self._candidates) >= self._most_records or self._size_bytes >= TRANSACTION_BYTES:
            await self.commit()

    async def commit(self) -> None:
        """Send the requests that were added, and commit them with the progress."""
        if not self._progress:
            return
        sendable = [candidate for candidate in self._candidates if candidate.obstacle is None]
        if sendable and self._limiter is not None:
            await self._limiter.acquire(len(sendable))  # before the transaction begins: the service waits for its end
        async with _transaction(self._producer):
            sent = [await self._send(candidate) for candidate in sendable]
            offsets = [metadata.offset for metadata in await asyncio.gather(*sent)]
            await self._producer.send_offsets_to_transaction(self._progress, self._group)
        committed = iter(offsets)
        for candidate in self._candidates:
            self._on_done(candidate, next(committed) if candidate.obstacle is None else None)
        self._candidates, self._progress, self._size_bytes = [], {}, 0

    async def _send(self, candidate: Candidate) -> asyncio.Future[Any]:
        record, (topic, partition) = candidate.record, candidate.target
        future: asyncio.Future[Any] = await self._producer.send(
            topic, record.value, key=record.key, partition=partition, headers=replay_headers(record)
        )
        return future


@contextlib.asynccontextmanager
async def _transaction(producer: AIOKafkaProducer) -> AsyncGenerator[None, None]:
    """Commit what the body sends, or abort it: the service reads nothing after a transaction that is left open."""
    async with request_deadline("begin a transaction"):
        await producer.begin_transaction()
    try:
        async with request_deadline("send requests in a transaction"):
            yield
    except BaseException:
        # A fenced producer cannot abort: the client raises AssertionError. Its transaction has ended already.
        with contextlib.suppress(KafkaRequestError, AssertionError):
            async with request_deadline("abort the transaction", ABORT_S):
                await producer.abort_transaction()
        raise
    # Not inside the try: a commit whose answer does not come may have happened, and must not be aborted.
    async with request_deadline(
        "commit the transaction (it may be committed all the same; the same command continues after it)"
    ):
        await producer.commit_transaction()
