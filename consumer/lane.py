"""A lane carries the records of one partition from fetch to commit.

start     fence the previous owner, read the committed offset, seek
fetch     take what has arrived, within the byte budget; never wait for more
classify  hand chunks to the pool; the next ones go there while earlier ones commit
publish   results, dead letters and the offset behind their requests, in one transaction

A lane ends *revoked* (it finishes the transaction it has begun and drops the rest), *drained* (it
publishes all that it holds), *lost* (another owner may have fenced it: it drops all) or *fatal* (the
service stops). It never skips an offset.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from consumer import outgoing, requests
from consumer.budget import Budget
from consumer.channel import Answer
from consumer.errors import Fatal, Lost, leaves
from consumer.fetch import Fetcher, Unreadable
from consumer.metrics import Metrics
from consumer.outgoing import OutgoingRecord
from consumer.pacer import Pacer
from consumer.pool import Pool
from consumer.position import start_offset
from consumer.requests import Request
from consumer.settings import Settings
from consumer.transactions import PartitionProducer

log = structlog.get_logger()

CHUNKS_IN_HAND: Final = 16
"""Per lane: enough for all workers to serve one busy partition while its transaction commits."""
CHUNKS_BEHIND: Final = 2
"""A lane that has more than so many chunks still to fetch is behind: size goes before speed."""


class End(Enum):
    """How a lane ended, if not fatally."""

    REVOKED = auto()
    DRAINED = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Equipment:
    """What all lanes of a service share."""

    settings: Settings
    consumer: AIOKafkaConsumer
    pool: Pool
    budget: Budget
    pacer: Pacer
    metrics: Metrics
    dead_letter_bytes: int
    """The largest record that the dead-letter topic takes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records that a worker has been given, and its answers to come."""

    requests: list[Request]
    answers: asyncio.Task[list[Answer]]
    size_bytes: int

    @property
    def next_offset(self) -> int:
        """The offset behind the chunk's last record."""
        return self.requests[-1].task.offset + 1


class Lane:
    """One assigned partition. Owner: the task ``lane TOPIC/PARTITION``.

    It alone moves the fetch position and uses the producer. `Lanes` calls `drain` and `revoke`; health reads
    `started`, `in_hand`, `progressed_at_s`, `in_transaction` and `committed_offset`, nothing else.
    """

    def __init__(self, partition: TopicPartition, equipment: Equipment) -> None:
        self.partition = partition
        self.name = f"{partition.topic}/{partition.partition}"
        self._equipment = equipment
        self._settings = equipment.settings
        self._held: deque[Chunk] = deque()
        self._room = asyncio.Semaphore(CHUNKS_IN_HAND)
        self._changed = asyncio.Event()
        self._fetched_all = False
        self._fetching: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._end: End | None = None
        self._behind = False
        self._begun_s = 0.0
        self.started = False
        self.in_hand = 0
        self.in_transaction = False
        self.progressed_at_s = time.monotonic()
        self.committed_offset: int | None = None
        self.committed_at_ms: int | None = None

    async def run(self) -> End:
        """Carry records until the lane ends; raise only `Fatal`, since that ends all other lanes."""
        try:
            # Why the producer starts before the offset is read:
            #   1. The old owner, stalled, has sent results up to offset 512; committed is 256.
            #   2. The group gives us the partition. We read 256 and fetch from there.
            #   3. The old owner wakes and commits 512. We publish 256..511 a second time.
            # Its start fences the old owner and aborts what it had open: event 3 now ends in ProducerFenced,
            # and the offset read below can no longer move.
            # Forced by test_an_owner_that_wakes_after_a_takeover_commits_nothing.
            async with PartitionProducer.fencing(self.partition, self._settings) as producer:
                offset = await start_offset(
                    self._equipment.consumer, self.partition, self._settings.kafka.on_lost_offset
                )
                self.committed_offset = offset
                await self._carry(producer, Fetcher(self._equipment.consumer, self.partition, offset))
        except Lost as lost:
            log.warning("lane lost", partition=self.name, why=str(lost), then="the group is asked who goes on")
            return End.LOST
        finally:
            for chunk in self._held:
                self._release(chunk)
        return self._end or End.REVOKED

    def drain(self) -> None:
        """Fetch nothing more; publish all that is in hand, then end."""
        self._end = self._end or End.DRAINED
        if self._fetching is not None:
            self._fetching.cancel()

    def revoke(self) -> None:
        """Finish a transaction that has begun, drop the rest, end: the next owner repeats it."""
        self._end = End.REVOKED
        if self._fetching is not None:
            self._fetching.cancel()
        if self._publishing is not None and not self.in_transaction:
            self._publishing.cancel()

    async def _carry(self, producer: PartitionProducer, fetcher: Fetcher) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._fetching = group.create_task(self._fetch(fetcher, group), name=f"fetch {self.name}")
                self._publishing = group.create_task(self._publish(producer), name=f"publish {self.name}")
                self.started = True
                if self._end is not None:  # revoked or drained while it started
                    self._fetching.cancel()
        except ExceptionGroup as errors:
            causes = leaves(errors)
            for kind in (Fatal, Lost):
                for cause in causes:
                    if isinstance(cause, kind):
                        raise cause from errors
            raise

    async def _fetch(self, fetcher: Fetcher, group: asyncio.TaskGroup) -> None:
        most_records = self._settings.pacing.chunk_records * CHUNKS_BEHIND
        try:
            while True:
                taken = await fetcher.take(most_records)
                self._behind = fetcher.behind_records() > most_records
                for batch in self._split(taken):
                    await self._room.acquire()
                    size_bytes = sum(request.size_bytes for request in batch)
                    await self._equipment.budget.take(size_bytes)
                    answers = group.create_task(self._classify(batch), name=f"classify {self.name}")
                    self._hold(Chunk(batch, answers, size_bytes))
        finally:
            self._fetched_all = True  # cancelled by drain() or revoke(): the publisher ends behind what is held
            self._changed.set()

    def _split(self, taken: list[ConsumerRecord] | Unreadable) -> Iterator[list[Request]]:
        """Cut what was fetched into chunks for a worker each."""
        if isinstance(taken, Unreadable):
            log.warning(
                "unreadable record",
                partition=self.name,
                offset=taken.offset,
                why=taken.why,
                then="it is answered as failed; its dead letter has no value",
            )
            yield [requests.from_unreadable(taken, self.partition)]
            return
        pacing = self._settings.pacing
        batch: list[Request] = []
        size_bytes = 0
        for record in taken:
            request = requests.from_record(record, self._settings.echo)
            full = len(batch) == pacing.chunk_records or size_bytes + request.size_bytes > pacing.chunk_bytes
            if batch and full:
                yield batch
                batch, size_bytes = [], 0
            batch.append(request)
            size_bytes += request.size_bytes
        yield batch

    async def _classify(self, batch: list[Request]) -> list[Answer]:
        started_s = time.monotonic()
        answers = await self._equipment.pool.classify([request.task for request in batch])
        self._progressed()
        self._equipment.metrics.stage.labels("classify").observe(self.progressed_at_s - started_s)
        return answers

    async def _publish(self, producer: PartitionProducer) -> None:
        topics = (self._settings.topics.predictions, self._settings.topics.dead_letter)
        try:
            counts = {topic: await producer.partition_count(topic) for topic in topics}
            while await self._holds_any():
                await self._held[0].answers
                await self._pause_for_more()
                chunks = self._answered_chunks()
                await self._commit(producer, chunks, counts)
                for _ in chunks:
                    self._release(self._held.popleft())
                if self._end is End.REVOKED:
                    return
        finally:
            for chunk in self._held:
                chunk.answers.cancel()

    async def _holds_any(self) -> bool:
        while not self._held and not self._fetched_all:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._held)

    async def _pause_for_more(self) -> None:
        """Wait for the pacer's turn and, if the lane is behind, for a larger transaction."""
        if self._behind and self._end is None:
            pause_s = self._begun_s + self._settings.pacing.behind_interval_ms / 1000 - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
        await self._equipment.pacer.turn()

    def _answered_chunks(self) -> list[Chunk]:
        """The chunks from the first on whose answers are there: they share a transaction."""
        chunks: list[Chunk] = []
        size_bytes = 0
        for chunk in self._held:
            size_bytes += chunk.size_bytes
            if not chunk.answers.done() or (chunks and size_bytes > self._settings.pacing.transaction_bytes):
                break
            chunks.append(chunk)
        return chunks

    async def _commit(self, producer: PartitionProducer, chunks: list[Chunk], counts: dict[str, int]) -> None:
        answered = [
            (request, answer)
            for chunk in chunks
            for request, answer in zip(chunk.requests, chunk.answers.result(), strict=True)
        ]
        self._begun_s = time.monotonic()
        self.in_transaction = True
        try:
            await producer.commit(self._outgoing(answered, counts), chunks[-1].next_offset)
        except Lost:
            self._equipment.metrics.transactions.labels("lost").inc()
            raise
        finally:
            self.in_transaction = False
        self.committed_offset = chunks[-1].next_offset
        self.committed_at_ms = time.time_ns() // 1_000_000
        self._progressed()
        self._count(answered)

    def _outgoing(
        self, answered: list[tuple[Request, Answer]], counts: dict[str, int]
    ) -> dict[TopicPartition, list[OutgoingRecord]]:
        topics = self._settings.topics
        target = {topic: TopicPartition(topic, self.partition.partition % count) for topic, count in counts.items()}
        results = [record for request, answer in answered for record in outgoing.results(request, answer)]
        letters = [
            record
            for request, answer in answered
            if answer.dead_letters
            for record in outgoing.dead_letters(request, answer, self._equipment.dead_letter_bytes)
        ]
        return {
            target[topic]: records
            for topic, records in ((topics.predictions, results), (topics.dead_letter, letters))
            if records
        }

    def _count(self, answered: list[tuple[Request, Answer]]) -> None:
        metrics = self._equipment.metrics
        metrics.transactions.labels("committed").inc()
        metrics.stage.labels("commit").observe(self.progressed_at_s - self._begun_s)
        metrics.records.inc(len(answered))
        metrics.record_bytes.inc(sum(len(request.task.payload) for request, _ in answered))
        metrics.committed([answer for _, answer in answered])
        # One observation a transaction, of its oldest record: the figure that a requester notices.
        metrics.latency.observe(self.progressed_at_s - answered[0][0].fetched_s)

    def _progressed(self) -> None:
        self.progressed_at_s = time.monotonic()

    def _hold(self, chunk: Chunk) -> None:
        if not self._held:
            self._progressed()
        self._held.append(chunk)
        self._changed.set()
        self.in_hand += len(chunk.requests)
        self._equipment.metrics.records_in_flight.inc(len(chunk.requests))
        self._equipment.metrics.in_flight_bytes.inc(chunk.size_bytes)

    def _release(self, chunk: Chunk) -> None:
        self._room.release()
        self.in_hand -= len(chunk.requests)
        self._equipment.metrics.records_in_flight.dec(len(chunk.requests))
        self._equipment.metrics.in_flight_bytes.dec(chunk.size_bytes)
        self._equipment.budget.give_back(chunk.size_bytes)
