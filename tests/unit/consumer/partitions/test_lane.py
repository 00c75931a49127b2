"""What a lane commits, and when: with a log, workers and transactions in memory."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import AsyncGenerator, Callable

import pytest
from aiokafka import TopicPartition

from consumer.partitions.lane import End, Lane
from consumer.partitions.observers import LaneObserver, Publication
from consumer.workers.tasks import Part, Task
from tests.harness.memory import (
    MemoryClassifier,
    MemoryLanes,
    MemoryPartitions,
    MemoryProducer,
    MemorySource,
    memory_lanes,
    record,
)
from tests.harness.waiting import DEADLINE_S, eventually
from transport.batches.splitting import RawBatch
from transport.errors import FatalError, OwnershipLost
from transport.source.partition import Fetched

TAKES = 30


class ChanceSource(MemorySource):
    """Gives batches, and passes markers and aborted records, as a source does."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.takes = 0
        self.records: list[int] = []

    async def fetch(self) -> Fetched:
        await asyncio.sleep(self._chance.choice([0, 0.001, 0.004]) if self.takes < TAKES else 0.005)
        from_offset = self.offset
        if self.takes == TAKES:
            return Fetched([], from_offset, from_offset)
        self.takes += 1
        taken: list[RawBatch] = []
        begin = max(0, from_offset - self._chance.choice([0, 0, 1]))
        for count in self._chance.choice([[], [], [1], [3], [1, 2, 1]]):
            taken.append(record(begin, count=count + from_offset - begin if not taken else count))
            begin = taken[-1].header.last_offset + 1
        begin = begin if taken else from_offset
        self.records += range(from_offset, begin)
        self.offset = begin + self._chance.choice([0, 0, 1, 3])
        return Fetched(taken, from_offset, self.offset)


@pytest.mark.parametrize("end", [Lane.drain, Lane.revoke])
@pytest.mark.parametrize("seed", range(10))
async def test_a_commit_never_passes_a_record_without_its_result(
    seed: int, end: Callable[[Lane], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITS_PACING__CHUNK_RECORDS", "2")
    chance = random.Random(seed)  # noqa: S311  # not a secret
    source = ChanceSource(chance)
    producer = MemoryProducer(on_commit=lambda: asyncio.sleep(chance.choice([0, 0.002])))
    classifier = MemoryClassifier(lambda: asyncio.sleep(chance.choice([0, 0.002, 0.01])), chance.choice([1, 2, 9]))
    lanes = MemoryLanes(MemoryPartitions(source, producer), classifier)
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        ends_after = chance.randrange(TAKES + 1)
        await eventually(
            lambda: source.takes >= ends_after and (source.takes < TAKES or lane.committed_offset == source.offset)
        )
        end(lane)
        assert await running in (End.DRAINED, End.REVOKED)
        assert producer.published == source.records[: len(producer.published)]
        assert producer.commits == sorted(set(producer.commits))
        for offset, results in producer.commits:
            assert results == sum(each < offset for each in source.records)
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)


async def test_a_drained_lane_publishes_all_that_is_in_flight() -> None:
    classifying = asyncio.Event()
    lanes = memory_lanes()
    lanes.classifier.on_classify = classifying.wait
    lanes.partitions.source.append(record(0), record(1))
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        await eventually(lambda: lane.records_in_flight == 2)
        lane.drain()
        classifying.set()
        assert await running is End.DRAINED
        assert lanes.partitions.producer.commits == [(2, 2)]


class Bytes(bytearray):
    """Bytes of which a test can find out whether anything still keeps them in memory."""


class WatchedClassifier(MemoryClassifier):
    """Keeps weak references to its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[weakref.ref[Bytes]] = []

    async def classify(self, task: Task) -> AsyncGenerator[Part, None]:
        async for part in super().classify(task):
            results = Bytes(part.results[0])
            part.results = [results]
            self.answers.append(weakref.ref(results))
            del results
            yield part


async def test_a_lane_that_waits_keeps_no_records_in_memory() -> None:
    lanes = memory_lanes()
    lanes.classifier = classifier = WatchedClassifier()
    data = Bytes(record(0).data)
    fetched = weakref.ref(data)
    lanes.partitions.source.append(record(0)._replace(data=memoryview(data)))
    del data
    others = MemoryLanes(MemoryPartitions(MemorySource(), lanes.partitions.producer), _publisher=lanes.publisher)
    async with lanes.publishing():
        lane, other = lanes.lane(), others.lane(TopicPartition("requests", 1))
        running = [asyncio.create_task(each.run()) for each in (lane, other)]
        await eventually(lambda: lane.committed_offset == 1 and lane.records_in_flight == 0)
        assert fetched() is None
        others.partitions.source.append(record(0))  # a slot of the publisher keeps its last transaction
        await eventually(lambda: other.committed_offset == 1 and other.records_in_flight == 0)
        assert classifier.answers[0]() is None
        for each in (lane, other):
            each.drain()
        assert await asyncio.gather(*running) == [End.DRAINED, End.DRAINED]


async def test_a_lane_that_is_revoked_before_its_transaction_begins_commits_nothing() -> None:
    lanes = memory_lanes()
    lanes.partitions.source.append(record(0))
    lane = lanes.lane()
    running = asyncio.create_task(lane.run())  # and no publisher runs
    await eventually(lambda: lane.waits_for_brokers)
    assert not lane.in_transaction
    lane.revoke()
    assert await running is End.REVOKED
    assert lanes.partitions.producer.commits == []
    assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)


async def test_a_lane_that_is_revoked_in_a_transaction_finishes_it_and_begins_no_other() -> None:
    committing = asyncio.Event()
    lanes = memory_lanes(on_commit=committing.wait)
    lanes.partitions.source.append(record(0))
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        await eventually(lambda: lane.in_transaction)
        lanes.partitions.source.append(record(1))
        await eventually(lambda: lane.records_in_flight == 2)
        lane.revoke()
        committing.set()
        assert await running is End.REVOKED
        assert lanes.partitions.producer.commits == [(1, 1)]
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)


async def test_a_lost_transaction_ends_the_lane_and_gives_all_bytes_back() -> None:
    async def fenced() -> None:
        raise OwnershipLost("another owner")

    lost: list[str] = []

    class Observer(LaneObserver):
        def transaction_lost(self) -> None:
            lost.append("transaction")

    lanes = memory_lanes(on_commit=fenced)
    lanes.observer = Observer()
    lanes.partitions.source.append(record(0))
    lane = lanes.lane()
    async with lanes.publishing():
        assert await lane.run() is End.LOST
        assert lost == ["transaction"]
        assert lane.committed_offset == 0
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)


async def test_a_lost_lane_still_knows_what_could_be_read() -> None:
    """It may wait long for the group; alerts judge by these figures."""

    async def fenced() -> None:
        raise OwnershipLost("another owner")

    lanes = memory_lanes(on_commit=fenced)
    lanes.partitions.source.append(record(0))
    lane = lanes.lane()
    async with lanes.publishing():
        assert await lane.run() is End.LOST
        lanes.partitions.source.unread = 6_000
        assert lane.readable_records == 6_000


async def test_a_fatal_error_of_the_workers_ends_the_lane_and_commits_nothing() -> None:
    async def fail() -> None:
        raise FatalError("workers die on everything")

    lanes = memory_lanes()
    lanes.classifier.on_classify = fail
    lanes.partitions.source.append(record(0))
    with pytest.raises(FatalError, match="workers die"):
        await lanes.lane().run()
    assert lanes.partitions.producer.commits == []
    assert lanes.budget.acquired_bytes == 0


async def test_an_idle_lane_commits_a_position_that_has_passed_markers_once() -> None:
    lanes = memory_lanes()
    lanes.partitions.source.append(record(0))
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        await eventually(lambda: lane.committed_offset == 1)
        for _ in range(3):
            lanes.partitions.source.append(next_offset=2)
            await eventually(lambda: lane.committed_offset == 2)
        lane.drain()
        await running
        assert lanes.partitions.producer.commits == [(1, 1), (2, 1)]


@pytest.mark.parametrize("end", [Lane.drain, Lane.revoke])
async def test_a_lane_that_must_end_while_it_starts_ends_at_once(end: Callable[[Lane], None]) -> None:
    """Its tasks have been made, and have not run."""
    lanes = memory_lanes()
    lane = lanes.lane()

    async def end_soon() -> None:
        asyncio.get_running_loop().call_soon(end, lane)

    lanes.partitions.on_open = end_soon
    lanes.partitions.source.append(record(0))
    async with lanes.publishing():
        assert await asyncio.wait_for(lane.run(), DEADLINE_S) in (End.DRAINED, End.REVOKED)
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)


async def test_observers_learn_of_each_step_of_a_record() -> None:
    seen: list[str] = []
    publications: list[Publication] = []

    class Observer(LaneObserver):
        def fetched(self, size_bytes: int) -> None:
            seen.append(f"fetched {size_bytes}")

        def admitted(self, waited_s: float) -> None:
            assert waited_s >= 0
            seen.append("admitted")

        def classified(self, took_s: float) -> None:
            assert took_s >= 0
            seen.append("classified")

        def committed(self, publication: Publication) -> None:
            seen.append("committed")
            publications.append(publication)

    lanes = memory_lanes()
    lanes.observer = Observer()
    lanes.partitions.source.append(record(7))
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        await eventually(lambda: lane.committed_offset == 8)
        lane.drain()
        await running
        assert seen == [f"fetched {len(record(7).data)}", "admitted", "classified", "committed"]
        (ready,) = publications[0].parts
        assert (ready.part.next_offset, ready.part.records) == (8, 1)
        assert ready.fetched_s <= ready.submitted_s <= ready.classified_s <= publications[0].committed_s


async def test_more_of_a_chunk_is_classified_only_when_enough_of_it_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch of a few megabytes may have a million records."""
    monkeypatch.setattr("consumer.partitions.in_flight.PARTS_BYTES", 200)
    committing = asyncio.Event()
    lanes = memory_lanes(on_commit=committing.wait)
    lanes.classifier.part_records = 1
    lanes.partitions.source.append(record(0, count=50))
    lane = lanes.lane()
    async with lanes.publishing():
        running = asyncio.create_task(lane.run())
        await eventually(lambda: lane.in_transaction)
        for _ in range(100):
            await asyncio.sleep(0)
        assert 200 < lanes.budget.output_bytes < 400
        committing.set()
        await eventually(lambda: lane.committed_offset == 50)
        assert lanes.partitions.producer.published == list(range(50))
        lane.drain()
        await running
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)
