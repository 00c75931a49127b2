"""Sends dead letters in again, each once for a given filter, whatever interrupts it.

The requests (original key, headers and bytes) and how far the filter has got are one transaction. Two
runs of one filter at once: the producer of the second fences that of the first, since the name of the
filter's group is their transactional id, and the first one's next transaction fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from producer.replay.selection import Chosen, Plan, Step, headers_of, steps, survey
from transport.admin.cluster import UNLIMITED_BYTES, Cluster
from transport.clients import open_producer, within
from transport.errors import KafkaRequestError
from transport.settings.kafka import ClientSettings

TRANSACTION_RECORDS: Final = 100
TRANSACTION_BYTES: Final = 8 * 1024 * 1024
"""A transaction takes no further record once it holds so much."""
TRANSACTION_TIMEOUT_MS: Final = 30_000
"""The service does not see behind an open transaction: one whose sender was killed ends after this."""
ABORT_S: Final = 5.0


async def replay(
    settings: ClientSettings, cluster: Cluster, plan: Plan, told: Callable[[Chosen, int | None], None]
) -> None:
    """Send what the plan says.

    Parameters
    ----------
    settings, cluster, plan
        Where and what.
    told
        Hears of each letter that the filter takes, once its fate is committed: with the offset of the new
        request, or None where there is an obstacle.

    Raises
    ------
    KafkaRequestError
        Kafka does not do its part, or another run of the same filter has taken over. What was told is
        done; the same filter continues behind it.
    """
    limit_bytes = await cluster.max_message_bytes(settings.topics.requests)
    async with open_producer(
        settings.kafka,
        max_request_bytes=limit_bytes or UNLIMITED_BYTES,
        transactional_id=plan.group(settings),
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    ) as producer:
        # Why the producer starts before the progress is read:
        #   1. An earlier run, stalled, has sent requests for the letters up to 512; its progress says 256.
        #   2. We read 256 and send the same letters again.
        #   3. The earlier run wakes and commits: requests 256 to 511 are there twice.
        # The start fences the earlier run and ends its transaction one way or the other; event 3 now fails.
        # Forced by test_a_replay_that_wakes_after_a_takeover_sends_nothing.
        found = await survey(settings, cluster, plan)
        replayer = _Replayer(producer, plan.group(settings), plan.rate_per_s, told)
        async with contextlib.aclosing(steps(settings, found, plan)) as all_steps:
            async for step in all_steps:
                await replayer.take(step)
        await replayer.commit()


class _Replayer:
    """Fills and commits transactions. Owner: the command's task."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        group: str,
        rate_per_s: float | None,
        told: Callable[[Chosen, int | None], None],
    ) -> None:
        self._producer = producer
        self._group = group
        self._rate_per_s = rate_per_s
        self._told = told
        self._chosen: list[Chosen] = []
        self._progress: dict[TopicPartition, int] = {}
        self._size_bytes = 0
        self._sent = 0
        self._started_s = time.monotonic()

    async def take(self, step: Step) -> None:
        """Note a step; commit if the transaction is large enough."""
        self._progress[step.partition] = step.next_offset
        if step.chosen is None:
            return
        self._chosen.append(step.chosen)
        self._size_bytes += len(step.chosen.found.value or b"")
        # At a low rate a transaction is what may go out in a second, so that the flow is even.
        most = TRANSACTION_RECORDS if self._rate_per_s is None else min(TRANSACTION_RECORDS, self._rate_per_s)
        if len(self._chosen) >= most or self._size_bytes >= TRANSACTION_BYTES:
            await self.commit()

    async def commit(self) -> None:
        """Send what has been taken, and commit it with the progress."""
        if not self._progress:
            return
        sendable = [chosen for chosen in self._chosen if chosen.obstacle is None]
        async with _transaction(self._producer):
            sent = [await self._send(chosen) for chosen in sendable]
            offsets = [metadata.offset for metadata in await asyncio.gather(*sent)]
            await self._producer.send_offsets_to_transaction(self._progress, self._group)
        committed = iter(offsets)
        for chosen in self._chosen:
            self._told(chosen, next(committed) if chosen.obstacle is None else None)
        self._sent += len(sendable)
        self._chosen, self._progress, self._size_bytes = [], {}, 0
        if self._rate_per_s is not None:
            await asyncio.sleep(max(0.0, self._started_s + self._sent / self._rate_per_s - time.monotonic()))

    async def _send(self, chosen: Chosen) -> asyncio.Future[Any]:
        found, (topic, partition) = chosen.found, chosen.target
        future: asyncio.Future[Any] = await self._producer.send(
            topic, found.value, key=found.key, partition=partition, headers=headers_of(found)
        )
        return future


@contextlib.asynccontextmanager
async def _transaction(producer: AIOKafkaProducer) -> AsyncGenerator[None, None]:
    """Commit what the body sends, or abort it: the service waits behind a transaction left open."""
    async with within("begin a transaction"):
        await producer.begin_transaction()
    try:
        async with within("send requests in a transaction"):
            yield
    except BaseException:
        # A fenced producer cannot abort any more, and asserts so; its transaction is over already.
        with contextlib.suppress(KafkaRequestError, AssertionError):
            async with within("abort the transaction", ABORT_S):
                await producer.abort_transaction()
        raise
    # Not inside the try: a commit whose answer does not come may have happened, and must not be aborted.
    async with within("commit the transaction (it may be committed all the same; the same command goes on from there)"):
        await producer.commit_transaction()
