"""One lane for each assigned partition, and what one lane leaves to the next: with everything in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from aiokafka import TopicPartition

from consumer.partitions import assignment
from consumer.partitions.assignment import Assignment
from consumer.partitions.endpoints import Opened
from consumer.partitions.lane import End, Lane
from consumer.partitions.observers import LaneObserver
from consumer.partitions.state import OffsetLost, PartitionState
from tests.harness.memory import MEMBER, PARTITION, MemoryLanes, MemoryPartitions, memory_lanes, record
from tests.harness.waiting import eventually
from transport.errors import OwnershipLost
from transport.group.membership import Membership


class Member:
    """A membership that the group always confirms."""

    since_contact_s = 0.0

    def note_assignment(self, _: object) -> None:
        pass

    async def wait_for_heartbeat(self) -> None:
        pass


@contextlib.asynccontextmanager
async def assigned(lanes: MemoryLanes) -> AsyncIterator[Assignment]:
    async with lanes.publishing(), asyncio.TaskGroup() as group:
        made = Assignment(lanes.lane, cast("Membership", Member()), lanes.observer, group)
        await made.on_partitions_assigned([PARTITION])
        yield made
        await made.drain()


async def test_a_lane_that_follows_a_lost_one_knows_what_was_committed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int | None] = []

    async def run(lane: Lane) -> End:
        found.append(lane.committed_offset)
        if len(found) == 1:
            lane.state.committed_offset = 40  # and the second is lost before it could ask
        return End.REVOKED if len(found) == 3 else End.LOST

    monkeypatch.setattr(Lane, "run", run)
    monkeypatch.setattr(assignment, "RESTART_PAUSES_S", (0.0,))
    async with assigned(memory_lanes()):
        await eventually(lambda: len(found) == 3)
    assert found == [None, 40, 40]


async def test_a_lost_lane_starts_again_and_answers_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "RESTART_PAUSES_S", (0.0,))
    commits = 0

    async def fenced_at_first() -> None:
        nonlocal commits
        commits += 1
        if commits == 1:
            raise OwnershipLost("fenced")

    lost: list[str] = []

    class Observer(LaneObserver):
        def lane_lost(self) -> None:
            lost.append("lane")

    lanes = memory_lanes(on_commit=fenced_at_first)
    lanes.observer = Observer()
    source = lanes.partitions.source
    source.append(record(0))

    async def repeat() -> None:
        if commits == 1:
            source.append(record(0))  # a fetch from the committed offset gives it again

    lanes.partitions.on_open = repeat
    async with assigned(lanes):
        await eventually(lambda: lanes.partitions.producer.commits == [(1, 1)])
    assert lost == ["lane"]


async def test_a_partition_that_comes_back_gets_its_lane_when_the_old_one_has_ended() -> None:
    committing, running, most = asyncio.Event(), 0, 0

    class Counting(MemoryPartitions):
        @contextlib.asynccontextmanager
        async def open(
            self, partition: TopicPartition, state: PartitionState, has_room: Callable[[], bool]
        ) -> AsyncIterator[Opened]:
            nonlocal running, most
            async with super().open(partition, state, has_room) as both:
                running += 1
                most = max(most, running)
                try:
                    yield both
                finally:
                    running -= 1

    lanes = memory_lanes(on_commit=committing.wait)
    lanes.partitions = Counting(lanes.partitions.source, lanes.partitions.producer)
    async with assigned(lanes) as made:
        for offset in range(5):
            committing.clear()
            lanes.partitions.source.append(record(offset))
            await eventually(lambda: PARTITION in made.lanes and made.lanes[PARTITION].in_transaction)
            asyncio.get_running_loop().call_soon(committing.set)
            await made.on_partitions_revoked([PARTITION])
            assert running == 0, "the group waits until the lane has ended"
            await made.on_partitions_assigned([PARTITION])
        await eventually(lambda: PARTITION in made.lanes and made.lanes[PARTITION].started)
    assert most == 1
    assert lanes.partitions.producer.published == [0, 1, 2, 3, 4]


async def test_a_partition_that_was_parked_when_it_was_revoked_is_still_known_as_parked() -> None:
    lost = OffsetLost("the committed offset 3 is not in the log", 3)

    class Parked(MemoryPartitions):
        @contextlib.asynccontextmanager
        async def open(
            self, partition: TopicPartition, state: PartitionState, has_room: Callable[[], bool]
        ) -> AsyncIterator[Opened]:
            del partition, has_room
            found.append(state.parked)
            state.parked = lost
            await asyncio.Event().wait()
            yield Opened(self.source, MEMBER, {})  # never: it stays parked

    found: list[OffsetLost | None] = []
    lanes = memory_lanes()
    lanes.partitions = Parked(lanes.partitions.source, lanes.partitions.producer)
    async with assigned(lanes) as made:
        await eventually(lambda: PARTITION in made.lanes and made.lanes[PARTITION].parked is lost)
        await made.on_partitions_revoked([PARTITION])
        await made.on_partitions_assigned([PARTITION])
        await eventually(lambda: len(found) == 2)
    assert found == [None, lost]
