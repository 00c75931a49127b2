"""A requests topic, a transaction log and a consumer group in memory: lanes run against them in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord, TopicPartition

from consumer.memory_budget import MemoryBudget
from consumer.partitions.endpoints import Endpoints
from consumer.partitions.in_flight import InFlightWindow
from consumer.partitions.lane import Lane
from consumer.partitions.observers import LaneObserver
from consumer.partitions.publisher import Publisher
from consumer.partitions.state import PartitionState
from consumer.settings import Settings
from consumer.workers.protocol import Answer, Task
from transport.rate_limiter import RateLimiter
from transport.reading.log_ends import LogEnds
from transport.record_batch import Unreadable
from transport.transactions import OutgoingRecord

PARTITION = TopicPartition("requests", 0)
BUDGET_BYTES = 1024 * 1024


def record(offset: int, value: bytes = b"image") -> ConsumerRecord:
    """Make a record of the requests topic."""
    return ConsumerRecord(*PARTITION, offset, 0, 0, None, value, None, -1, len(value), ())


class MemorySource:
    """Gives what was appended, from its offset on; waits while there is nothing."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._waiting: list[ConsumerRecord] = []
        self._appended = asyncio.Event()
        self.unread = 0

    def append(self, *records: ConsumerRecord, next_offset: int | None = None) -> None:
        """Append records, or, with `next_offset` alone, markers that are passed over."""
        self._waiting += records
        self._next_offset = next_offset if next_offset is not None else records[-1].offset + 1
        self._appended.set()

    async def fetch(self, most_records: int) -> list[ConsumerRecord | Unreadable]:
        """Return what has arrived."""
        await self._appended.wait()
        taken, self._waiting = self._waiting[:most_records], self._waiting[most_records:]
        if not self._waiting:
            self._appended.clear()
        self.offset = self._waiting[0].offset if self._waiting else self._next_offset
        return [*taken]

    def lag_records(self) -> int:
        """Return what a test has set."""
        return self.unread


async def _at_once() -> None:
    pass


@dataclass
class MemorySink:
    """Keeps what is committed; `on_confirm` and `on_commit` may wait, or raise."""

    on_confirm: Callable[[], Awaitable[object]] = _at_once
    on_commit: Callable[[], Awaitable[object]] = _at_once
    published: list[int] = field(default_factory=list)
    """Offsets of the requests whose results were published."""
    commits: list[tuple[int, int]] = field(default_factory=list)
    """Each committed offset, and how many results were published with it and before."""

    async def confirm_ownership(self) -> None:
        """Ask the group."""
        await self.on_confirm()

    async def partition_count(self, _: str) -> int:
        """Return 1."""
        return 1

    async def commit(self, outgoing: Mapping[TopicPartition, Iterable[OutgoingRecord]], next_offset: int) -> None:
        """Keep the results and the offset."""
        await self.on_commit()
        self.published += [int(each.value or b"") for records in outgoing.values() for each in records]
        self.commits.append((next_offset, len(self.published)))


@dataclass
class MemoryPartitions:
    """Opens the same source and sink for each lane."""

    source: MemorySource
    sink: MemorySink
    on_open: Callable[[], Awaitable[object]] = _at_once
    start_offset: int = 0

    @contextlib.asynccontextmanager
    async def open(self, partition: TopicPartition, state: PartitionState) -> AsyncIterator[Endpoints]:
        """Open the partition at its last committed offset."""
        del partition
        await self.on_open()
        state.parked = None
        state.committed_offset = self.sink.commits[-1][0] if self.sink.commits else self.start_offset
        self.source.offset = state.committed_offset
        yield Endpoints(self.source, self.sink)

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return that the log ends where the source stands."""
        del partition
        return LogEnds(self.source.offset, self.source.offset)


class MemoryClassifier:
    """Answers each task with its offset; `on_classify` may wait, or raise."""

    def __init__(self, on_classify: Callable[[], Awaitable[object]] = _at_once) -> None:
        self.on_classify = on_classify

    async def classify(self, tasks: Sequence[Task]) -> list[Answer]:
        """Return one result a task."""
        await self.on_classify()
        return [Answer([b"%d" % task.offset], [], 1, 0, 1) for task in tasks]


@dataclass
class MemoryLanes:
    """Makes lanes of one partition, as the service does."""

    partitions: MemoryPartitions
    classifier: MemoryClassifier = field(default_factory=MemoryClassifier)
    budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(BUDGET_BYTES))
    observer: LaneObserver = field(default_factory=LaneObserver)
    settings: Settings = field(default_factory=Settings)

    def lane(self, partition: TopicPartition = PARTITION, state: PartitionState | None = None) -> Lane:
        """Make a lane that has not begun."""
        publisher = Publisher(
            partition,
            self.settings,
            dead_letter_bytes=1024,
            transactions=RateLimiter(100_000, burst=1_000),
            observer=self.observer,
        )
        return Lane(
            partition,
            state or PartitionState(),
            partitions=self.partitions,
            classifier=self.classifier,
            window=InFlightWindow(self.budget),
            publisher=publisher,
            settings=self.settings,
            observer=self.observer,
        )


def memory_lanes(
    *, on_confirm: Callable[[], Awaitable[object]] = _at_once, on_commit: Callable[[], Awaitable[object]] = _at_once
) -> MemoryLanes:
    """Make lanes with an empty log, and a sink of which some steps wait, or raise."""
    return MemoryLanes(MemoryPartitions(MemorySource(), MemorySink(on_confirm, on_commit)))
