"""The publisher of a lane: decides when its next transaction begins, what is in it, and commits it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka import TopicPartition

from consumer.partitions import outgoing
from consumer.partitions.endpoints import Sink
from consumer.partitions.in_flight import Chunk
from consumer.partitions.observers import LaneObserver, Transaction
from consumer.partitions.outgoing import DeadLetterLimits
from consumer.settings import Settings
from transport.errors import OwnershipLost
from transport.rate_limiter import RateLimiter

SETTLE_S: Final = 0.01
"""After a commit the coordinator still writes its markers. A transaction that begins meanwhile is refused as
concurrent, and the client tries again only 20 ms later."""


class Publisher:
    """Makes the transactions of one lane. Owner: the lane's publishing task.

    The lane reads `in_transaction` and `waits_for_brokers`, nothing else.

    Parameters
    ----------
    partition, settings
        Whose, and how.
    dead_letter_bytes
        The largest record that the dead-letter topic takes.
    transactions
        Limits the transactions of the whole instance: one costs about the same whatever is in it.
    observer
        Receives the events.
    """

    def __init__(
        self,
        partition: TopicPartition,
        settings: Settings,
        *,
        dead_letter_bytes: int,
        transactions: RateLimiter,
        observer: LaneObserver,
    ) -> None:
        self._partition = partition
        self._topics = settings.topics
        self._catch_up_interval_s = settings.pacing.catch_up_interval_ms / 1000
        self._limits = DeadLetterLimits(dead_letter_bytes, settings.echo.dead_letters_bytes)
        self._transactions = transactions
        self._observer = observer
        self._begun_s = self._committed_s = 0.0
        self._partition_counts: dict[str, int] = {}
        self._confirming = False
        self.in_transaction = False

    @property
    def waits_for_brokers(self) -> bool:
        """True while a transaction is under way, or the group is asked whether the partition is still ours."""
        return self.in_transaction or self._confirming

    async def prepare(self, sink: Sink) -> None:
        """Look up how many partitions the output topics have."""
        topics = (self._topics.predictions, self._topics.dead_letter)
        self._partition_counts = {topic: await sink.partition_count(topic) for topic in topics}

    async def pause(self, *, is_catching_up: bool) -> None:
        """Wait until a transaction may begin.

        That is when the last commit has settled, when the instance's limit allows another transaction, and, for a
        lane that is catching up, when enough time has passed to have larger transactions and fewer of them.
        """
        begin_s = self._committed_s + SETTLE_S
        if is_catching_up:
            begin_s = max(begin_s, self._begun_s + self._catch_up_interval_s)
        await asyncio.sleep(max(0.0, begin_s - time.monotonic()))
        await self._transactions.acquire()

    async def commit(self, sink: Sink, chunks: list[Chunk]) -> Transaction:
        """Publish the answers of these chunks and the offset after them, in one transaction.

        Raises
        ------
        OwnershipLost
            It was refused, or its outcome is unknown.
        FatalError
            It would be refused again.
        """
        answered = [
            (request, answer)
            for chunk in chunks
            for request, answer in zip(chunk.requests, chunk.answers.result().answers, strict=True)
        ]
        published = outgoing.records_by_topic(answered, self._topics, self._limits)
        by_target = {
            TopicPartition(topic, self._partition.partition % self._partition_counts[topic]): records
            for topic, records in published.items()
        }
        self._confirming = True
        try:
            await sink.confirm_ownership()
        finally:
            self._confirming = False
        self._begun_s = time.monotonic()
        self.in_transaction = True
        try:
            await sink.commit(by_target, chunks[-1].next_offset)
        except OwnershipLost:
            self._observer.transaction_lost()
            raise
        finally:
            self.in_transaction = False
        self._committed_s = time.monotonic()
        committed_at_ms = time.time_ns() // 1_000_000
        return Transaction(
            self._partition, chunks, answered, published, self._begun_s, self._committed_s, committed_at_ms
        )
