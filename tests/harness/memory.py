"""A requests topic, a transaction log and a consumer group in memory: lanes run against them in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch

from consumer.memory_budget import MemoryBudget
from consumer.partitions.endpoints import Opened
from consumer.partitions.in_flight import InFlightWindow
from consumer.partitions.lane import Lane
from consumer.partitions.observers import LaneObserver
from consumer.partitions.publisher import Publisher, SlotProducers
from consumer.partitions.state import PartitionState
from consumer.settings import Settings
from consumer.workers.tasks import Part, Task
from contract.topics import TopicSettings
from tests.harness.raw_batches import Raw, batch_bytes
from transport.batches.building import NO_HEADERS, NULL, BatchBuilder
from transport.batches.layout import BatchHeader
from transport.batches.splitting import RawBatch
from transport.protocol.offsets import Member
from transport.reading.log_ends import LogEnds
from transport.sink.batches import OutgoingBatch
from transport.source.partition import Fetched

PARTITION = TopicPartition("requests", 0)
BUDGET_BYTES = 1024 * 1024
MEMBER = Member("group", 1, "member")


def record(offset: int, value: bytes = b"image", *, count: int = 1) -> RawBatch:
    """Make a batch of the requests topic, with one record or more."""
    data = memoryview(batch_bytes([Raw(value)] * count, first_offset=offset))
    return RawBatch(BatchHeader.parse(data), data)


def results_batch(*values: bytes, key: bytes = NULL) -> bytearray:
    """Make a batch of results, as a worker does."""
    builder = BatchBuilder(2**30, 0)
    for value in values:
        builder.append(key, value, NO_HEADERS)
    (built,) = builder.build()
    return bytearray(built)


class MemorySource:
    """Gives what was appended, from its offset on; waits while there is nothing."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._waiting: list[RawBatch] = []
        self._appended = asyncio.Event()
        self.unread = 0

    def append(self, *batches: RawBatch, next_offset: int | None = None) -> None:
        """Append batches, or, with `next_offset` alone, markers that are passed over."""
        self._waiting += batches
        self._next_offset = next_offset if next_offset is not None else batches[-1].header.last_offset + 1
        self._appended.set()

    async def fetch(self) -> Fetched:
        """Return what has arrived."""
        await self._appended.wait()
        self._appended.clear()
        taken, self._waiting = self._waiting, []
        from_offset, self.offset = self.offset, self._next_offset
        return Fetched(taken, from_offset, self.offset)

    def lag_records(self) -> int:
        """Return what a test has set."""
        return self.unread


async def _at_once() -> None:
    pass


@dataclass
class MemoryProducer:
    """Keeps what is committed; `on_commit` may wait, or raise."""

    on_commit: Callable[[], Awaitable[object]] = _at_once
    transactional_id: str = "group.memory.0"
    published: list[int] = field(default_factory=list)
    """Offsets of the requests whose results were published."""
    commits: list[tuple[int, int]] = field(default_factory=list)
    """Each committed offset, and how many results were published with it and before."""
    offsets: dict[TopicPartition, int] = field(default_factory=dict)

    async def settle(self) -> None:
        """Do nothing: no transaction is ever open."""

    async def commit(
        self,
        batches: Mapping[TopicPartition, Sequence[OutgoingBatch]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        """Keep the results and the offsets."""
        del member
        await self.on_commit()
        self.keep(batches, offsets)

    def keep(
        self, batches: Mapping[TopicPartition, Sequence[OutgoingBatch]], offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Keep results and offsets."""
        for some in batches.values():
            for batch in some:
                self.published += [int(each.value or b"") for each in DefaultRecordBatch(bytes(batch.data))]
        self.offsets.update(offsets)
        self.commits += [(offset, len(self.published)) for offset in offsets.values()]

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the committed offsets."""
        return {partition: self.offsets.get(partition) for partition in partitions}


@dataclass
class MemoryPartitions:
    """Opens the same source for each lane."""

    source: MemorySource
    producer: MemoryProducer
    on_open: Callable[[], Awaitable[object]] = _at_once
    start_offset: int = 0

    @contextlib.asynccontextmanager
    async def open(
        self, partition: TopicPartition, state: PartitionState, has_room: Callable[[], bool]
    ) -> AsyncIterator[Opened]:
        """Open the partition at its last committed offset."""
        del has_room
        await self.on_open()
        state.parked = None
        state.committed_offset = self.producer.offsets.get(partition, self.start_offset)
        self.source.offset = state.committed_offset
        topics = TopicSettings()
        targets = {topic: TopicPartition(topic, partition.partition) for topic in topics.names}
        yield Opened(self.source, MEMBER, targets)

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return that the log ends where the source stands."""
        del partition
        return LogEnds(self.source.offset, self.source.offset)


class MemoryClassifier:
    """Answers each record with its offset, in parts; `on_classify` may wait, or raise."""

    def __init__(self, on_classify: Callable[[], Awaitable[object]] = _at_once, part_records: int = 2**30) -> None:
        self.on_classify = on_classify
        self.part_records = part_records

    async def classify(self, task: Task) -> AsyncGenerator[Part, None]:
        """Yield one result a record."""
        await self.on_classify()
        offsets = [
            offset
            for header in map(BatchHeader.parse, task.batches)
            for offset in range(header.base_offset, header.last_offset + 1)
            if task.first_offset <= offset < task.next_offset
        ]
        for first in range(0, len(offsets), self.part_records):
            some = offsets[first : first + self.part_records]
            is_last = some[-1] == offsets[-1]
            results = [results_batch(*(b"%d" % offset for offset in some))]
            yield Part(task.next_offset if is_last else some[-1] + 1, results, records=len(some), recognised=len(some))


@dataclass
class MemoryLanes:
    """Makes lanes of one partition, as the service does. Run `publishing` beside them."""

    partitions: MemoryPartitions
    classifier: MemoryClassifier = field(default_factory=MemoryClassifier)
    budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(BUDGET_BYTES))
    observer: LaneObserver = field(default_factory=LaneObserver)
    settings: Settings = field(default_factory=Settings)
    _publisher: Publisher | None = None

    @property
    def publisher(self) -> Publisher:
        """The publisher of all lanes."""
        if self._publisher is None:
            producer = self.partitions.producer
            self._publisher = Publisher(
                SlotProducers(producer, producer, producer),
                producer,
                self.settings,
                observer=self.observer,
            )
        return self._publisher

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Run the publisher while the context lasts."""
        task = asyncio.create_task(self.publisher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def lane(self, partition: TopicPartition = PARTITION, state: PartitionState | None = None) -> Lane:
        """Make a lane that has not begun."""
        return Lane(
            partition,
            state or PartitionState(),
            partitions=self.partitions,
            classifier=self.classifier,
            window=InFlightWindow(self.budget),
            publisher=self.publisher,
            settings=self.settings,
            dead_letter_bytes=1024,
            observer=self.observer,
        )


def memory_lanes(*, on_commit: Callable[[], Awaitable[object]] = _at_once) -> MemoryLanes:
    """Make lanes with an empty log, and a producer of which commits may wait, or raise."""
    return MemoryLanes(MemoryPartitions(MemorySource(), MemoryProducer(on_commit)))
