"""A lane carries the records of one partition from fetch to commit.

start     fence the previous owner, read the committed offset, seek; park while that offset is lost
fetch     take what has arrived, within the byte budget; never wait for more
classify  hand chunks to the pool; the next ones go there while earlier ones commit
publish   results, dead letters and the offset behind their requests, in one transaction

Where a sender's transactions end in markers, or were aborted, the position passes what is no record. The lane commits
that too, when it has nothing else in hand: otherwise retention deletes the marker at the committed offset, and the next
owner takes the offset for lost.

A lane ends *revoked* (it finishes the transaction it has begun and drops the rest), *drained* (it
publishes all that it holds), *lost* (another owner may have fenced it: it drops all) or *fatal* (the
service stops). It never skips an offset.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import PUBLISHED, Metrics
from consumer.partitions import outgoing, requests
from consumer.partitions.in_flight import Chunk, Classified, InFlightWindow
from consumer.partitions.outgoing import Room
from consumer.partitions.pacer import Pacer
from consumer.partitions.position import OffsetLost, repaired, start_offset
from consumer.partitions.requests import Request
from consumer.partitions.reset import reset_offset
from consumer.settings import Settings
from consumer.workers.protocol import Answer
from consumer.workers.quarantine import Quarantine
from contract.records import request_id
from transport.errors import FatalError, OwnershipLost, leaf_exceptions
from transport.membership import Membership
from transport.metadata import live_servers
from transport.reading.fetching import Fetcher
from transport.reading.record_batch import Unreadable
from transport.transactions import OutgoingRecord, PartitionProducer

if TYPE_CHECKING:
    from consumer.observe.tracing import Traces  # needs what is installed only where it is on

log = structlog.get_logger()

SETTLE_S: Final = 0.01
"""After a commit the coordinator still writes its markers. A transaction that begins meanwhile is refused as
concurrent, and the client tries again only 20 ms later."""
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
    pool: Quarantine
    budget: MemoryBudget
    pacer: Pacer
    metrics: Metrics
    membership: Membership
    dead_letter_bytes: int
    """The largest record that the dead-letter topic takes."""
    traces: Traces | None = None
    """Where tracing is on."""


class Lane:
    """One assigned partition. Owner: the task ``lane TOPIC/PARTITION``.

    It alone moves the fetch position and uses the producer. `Lanes` calls `drain` and `revoke`; health reads
    `started`, `in_hand`, `readable_records`, `oldest_at_ms`, `progressed_at_s`, `waits_for_brokers`, `parked`,
    `committed_at_ms` and `committed_offset`, nothing else.

    Parameters
    ----------
    partition, equipment
        Which, and what it works with.
    committed_offset, parked
        What an earlier lane of the partition in this process knew; it holds until this one has asked.
    """

    def __init__(
        self,
        partition: TopicPartition,
        equipment: Equipment,
        *,
        committed_offset: int | None = None,
        parked: OffsetLost | None = None,
    ) -> None:
        self.partition = partition
        self.name = f"{partition.topic}/{partition.partition}"
        self._equipment = equipment
        self._settings = equipment.settings
        self._hand = InFlightWindow(equipment.budget, equipment.metrics)
        self._fetcher: Fetcher | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._end: End | None = None
        self._behind = False
        self._begun_s = self._committed_s = 0.0
        self.started = False
        self.in_transaction = self._asks_group = False
        self.progressed_at_s = time.monotonic()
        self.committed_offset = committed_offset
        self.parked = parked
        """Why nothing is fetched, until somebody repairs the group's offset; None: it is in order."""
        self.committed_at_ms: int | None = None

    @property
    def in_hand(self) -> int:
        """Records fetched and not yet answered."""
        return self._hand.records

    @property
    def waits_for_brokers(self) -> bool:
        """True while a transaction is under way, or the group has yet to say whether there may be one."""
        return self.in_transaction or self._asks_group

    @property
    def readable_records(self) -> int:
        """Records in hand, and offsets behind them that may be read: not those behind an open transaction."""
        return self._hand.records + (0 if self._fetcher is None else self._fetcher.lag_records())

    @property
    def oldest_at_ms(self) -> int | None:
        """When the oldest record in hand was produced, as its timestamp says; None if there is none."""
        return self._hand.oldest_at_ms

    async def run(self) -> End:
        """Carry records until the lane ends; raise only `FatalError`, since that ends all other lanes."""
        try:
            # Why the producer starts before the offset is read:
            #   1. The old owner, stalled, has sent results up to offset 512; committed is 256.
            #   2. The group gives us the partition. We read 256 and fetch from there.
            #   3. The old owner wakes and commits 512. We publish 256..511 a second time.
            # Its start fences the old owner and aborts what it had open: event 3 now ends in ProducerFenced,
            # and the offset read below can no longer move.
            # Forced by test_an_owner_that_wakes_after_a_takeover_commits_nothing.
            #
            # Why the group is asked before that, and before each commit, if it has not confirmed us for a session:
            #   1. The partition is given to us, and this process is stopped for longer than its session.
            #   2. The group gives the partition to another instance, which answers.
            #   3. We go on, and fence the rightful owner, and commit before the next heartbeat tells us.
            # Forced by test_an_owner_that_stops_past_its_session_asks_the_group_before_fencing.
            await self._equipment.membership.ensure_confirmed()
            servers = live_servers(self._equipment.consumer)
            async with PartitionProducer.fencing(self.partition, self._settings, servers) as producer:
                await self._equipment.membership.ensure_confirmed()
                offset = await self._start_offset(producer)
                self._fetcher = Fetcher(self._equipment.consumer, self.partition, offset)
                await self._carry(producer, self._fetcher)
        except OwnershipLost as lost:
            log.warning("lane lost", partition=self.name, why=str(lost), action="the group is asked who goes on")
            return self._end or End.LOST  # revoked in the meantime: there is nobody to ask
        finally:
            self._hand.drop()
        return self._end or End.REVOKED

    async def _start_offset(self, producer: PartitionProducer) -> int:
        """Find where to start; park while the committed offset is lost, or nothing says where to start.

        A parked lane has not started, so that a revoke or a drain cancels it: it has begun nothing. It keeps the
        partition fenced, and goes on when the group has another offset: not when the log has grown past this one,
        whose records would be others.
        """
        consumer, kafka = self._equipment.consumer, self._settings.kafka
        while True:
            if self.parked is not None:
                await repaired(consumer, self.partition, self.parked.committed)
            try:
                offset = await start_offset(consumer, self.partition, kafka.on_lost_offset)
                if offset is None:
                    offset = await self._reset_offset(producer)
            except OffsetLost as lost:
                log.error("partition parked", partition=self.name, why=str(lost), action="the others go on")  # noqa: TRY400  # the sentence is the message
                self.parked, self.committed_offset = lost, lost.committed
            else:
                self.parked, self.committed_offset = None, offset
                return offset

    def drain(self) -> None:
        """Fetch nothing more; publish all that is in hand, then end."""
        self._end = self._end or End.DRAINED
        self._stop_fetching()

    def revoke(self) -> None:
        """Finish a transaction that has begun, drop the rest, end: the next owner repeats it."""
        self._end = End.REVOKED
        self._stop_fetching()
        if self._publishing is not None and not self.in_transaction:
            self._publishing.cancel()

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            self._hand.complete()  # not by the task itself, which may not have begun to run

    async def _reset_offset(self, producer: PartitionProducer) -> int:
        """Decide where to start if the group has no offset, and commit that.

        A later owner could decide otherwise: the results from which it follows may be deleted by then, and a new end
        of the log would skip requests.
        """
        predictions = self._settings.topics.predictions
        results = TopicPartition(predictions, self.partition.partition % await producer.partition_count(predictions))
        start = await reset_offset(self._equipment.consumer, self.partition, results, self._settings)
        if start.is_known:
            await self._equipment.membership.ensure_confirmed()
            await producer.commit({}, start.offset)
        return start.offset

    async def _carry(self, producer: PartitionProducer, fetcher: Fetcher) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._fetching = group.create_task(self._fetch(fetcher, group), name=f"fetch {self.name}")
                self._publishing = group.create_task(self._publish(producer), name=f"publish {self.name}")
                self.started = True
                if self._end is not None:  # revoked or drained while it started
                    self._stop_fetching()
        except ExceptionGroup as errors:
            causes = leaf_exceptions(errors)
            for kind in (FatalError, OwnershipLost):
                for cause in causes:
                    if isinstance(cause, kind):
                        raise cause from errors
            raise

    async def _fetch(self, fetcher: Fetcher, group: asyncio.TaskGroup) -> None:
        most_records = self._settings.pacing.chunk_records * CHUNKS_BEHIND
        try:
            while True:
                taken = await fetcher.fetch(most_records)
                self._equipment.metrics.fetched_bytes.inc(sum(map(_received_bytes, taken)))
                self._behind = fetcher.lag_records() > most_records
                # As a list: each says when it came, not when there was room for it.
                batches = list(self._chunks(taken))
                for batch in batches:
                    size_bytes = sum(request.size_bytes for request in batch)
                    await self._hand.make_room(size_bytes)
                    self._observe("wait", since_s=batch[0].fetched_s)
                    if self._hand.records == 0:
                        self._progressed()
                    answers = group.create_task(self._classify(batch), name=f"classify {self.name}")
                    next_offset = fetcher.offset if batch is batches[-1] else batch[-1].task.offset + 1
                    self._hand.add(Chunk(batch, answers, size_bytes, next_offset))
                if not batches:
                    await self._pass(fetcher.offset)
        finally:
            self._hand.complete()  # the publisher ends behind what is held

    async def _pass(self, offset: int) -> None:
        """Have an idle lane's position committed, if it has passed markers or aborted records.

        At most once in `fetching.POLL_MS`, since no record has come for so long. What lies before it was added
        to the hand before; as nothing is left there, it is committed.
        """
        if self._hand.is_empty and self.committed_offset is not None and offset > self.committed_offset:
            await self._hand.make_room(0)
            self._hand.add(Chunk.passing(offset))

    def _chunks(self, taken: list[ConsumerRecord | Unreadable]) -> Iterator[list[Request]]:
        return requests.chunks(taken, self._settings.pacing, self._settings.echo, self._settings.limits)

    async def _classify(self, batch: list[Request]) -> Classified:
        started_s = time.monotonic()
        answers = await self._equipment.pool.classify([request.task for request in batch])
        self._equipment.budget.answered(sum(answer.size_bytes for answer in answers))  # the hand tells when they go
        self._progressed()
        self._observe("classify", since_s=started_s)
        return Classified(answers, self.progressed_at_s)

    async def _publish(self, producer: PartitionProducer) -> None:
        topics = (self._settings.topics.predictions, self._settings.topics.dead_letter)
        try:
            counts = {topic: await producer.partition_count(topic) for topic in topics}
            while (chunk := await self._hand.first()) is not None:
                await chunk.answers
                await self._pause_for_more()
                chunks = self._hand.answered(self._settings.pacing.transaction_bytes)
                await self._commit(producer, chunks, counts)
                self._hand.release(len(chunks))
                if self._end is End.REVOKED:
                    return
        finally:
            self._hand.drop()

    async def _pause_for_more(self) -> None:
        """Wait until the last commit has settled, for more records if the lane is behind, and for the pacer's turn."""
        begin_s = self._committed_s + SETTLE_S
        if self._behind and self._end is None:
            begin_s = max(begin_s, self._begun_s + self._settings.pacing.behind_interval_ms / 1000)
        await asyncio.sleep(max(0.0, begin_s - time.monotonic()))
        await self._equipment.pacer.turn()

    async def _commit(self, producer: PartitionProducer, chunks: list[Chunk], counts: dict[str, int]) -> None:
        answered = [
            (request, answer)
            for chunk in chunks
            for request, answer in zip(chunk.requests, chunk.answers.result().answers, strict=True)
        ]
        room = Room(self._equipment.dead_letter_bytes, self._settings.echo.dead_letters_bytes)
        records = outgoing.by_topic(answered, self._settings.topics, room)
        by_target = {
            TopicPartition(topic, self.partition.partition % counts[topic]): some for topic, some in records.items()
        }
        self._asks_group = True
        try:
            await self._equipment.membership.ensure_confirmed()
        finally:
            self._asks_group = False
        self._begun_s = time.monotonic()
        self.in_transaction = True
        try:
            await producer.commit(by_target, chunks[-1].next_offset)
        except OwnershipLost:
            self._equipment.metrics.transactions.labels("lost").inc()
            raise
        finally:
            self.in_transaction = False
        self.committed_offset = chunks[-1].next_offset
        self.committed_at_ms = time.time_ns() // 1_000_000
        self._progressed()
        self._committed_s = self.progressed_at_s
        self._observe("commit", since_s=self._begun_s)
        self._equipment.metrics.transactions.labels("committed").inc()
        if answered:
            self._count(answered, records)
        if self._equipment.traces is not None:
            self._equipment.traces.committed(chunks, begun_s=self._begun_s, committed_s=self._committed_s)

    def _count(self, answered: list[tuple[Request, Answer]], published: dict[str, list[OutgoingRecord]]) -> None:
        metrics = self._equipment.metrics
        metrics.records.inc(len(answered))
        metrics.record_bytes.inc(sum(len(request.value or b"") for request, _ in answered))
        metrics.committed([answer for _, answer in answered])
        for request, answer in answered:
            task = request.task
            for letter in answer.dead_letters:
                log.debug(
                    "item failed",
                    partition=self.name,
                    offset=task.offset,
                    item=letter.index,
                    request_id=task.request_id or request_id(task.topic, task.partition, task.offset),
                    trace_id=task.trace_id,
                    code=letter.code,
                )
        # One observation a transaction, of its oldest record: the figure that a requester notices.
        oldest = answered[0][0]
        metrics.latency.observe(self.progressed_at_s - oldest.fetched_s)
        metrics.aged(oldest.task.timestamp_ms, self.committed_at_ms or 0)
        topics = self._settings.topics
        for label, topic in zip(PUBLISHED, (topics.predictions, topics.dead_letter), strict=True):
            metrics.published_bytes.labels(label).inc(sum(record.size_bytes for record in published.get(topic, [])))

    def _observe(self, stage: str, *, since_s: float) -> None:
        self._equipment.metrics.stage.labels(stage).observe(time.monotonic() - since_s)

    def _progressed(self) -> None:
        self.progressed_at_s = time.monotonic()


def _received_bytes(record: ConsumerRecord | Unreadable) -> int:
    """Bytes of key and value; of what cannot be read nothing is known."""
    return 0 if isinstance(record, Unreadable) else len(record.key or b"") + len(record.value or b"")
