"""Lanes that start together share a request, and one that has trouble costs the others nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from tests.harness.waiting import eventually
from transport.group import lookups as module
from transport.group.lookups import SharedLookups
from transport.group.offsets import CommittedOffset

PARTITIONS = [TopicPartition("requests", number) for number in range(4)]


class Brokers:
    """Answers requests, and keeps which partitions each was about."""

    def __init__(self) -> None:
        self.leaders: dict[TopicPartition, int | None] = {
            partition: partition.partition % 2 for partition in PARTITIONS
        }
        self.committed: list[list[TopicPartition]] = []
        self.ranges: list[tuple[int, list[TopicPartition]]] = []
        self.alone: list[TopicPartition] = []
        self.unknown: set[TopicPartition] = set()
        self.empty_answers = 0
        self.given_up = 0
        self.hanging: set[int] = set()
        self.failing: set[int] = set()

    async def committed_offsets(
        self, _: object, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, CommittedOffset]:
        self.committed.append(list(partitions))
        return {partition: CommittedOffset(partition.partition) for partition in partitions}

    async def log_ranges(
        self, _: object, leader: int, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, range]:
        self.ranges.append((leader, list(partitions)))
        if leader in self.hanging:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        if leader in self.failing:
            raise KafkaConnectionError("down")
        if self.empty_answers:
            self.empty_answers -= 1
            return {}
        return {each: range(each.partition, 10) for each in partitions if each not in self.unknown}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.alone += partitions
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    brokers = Brokers()
    monkeypatch.setattr(module, "committed_offsets", brokers.committed_offsets)
    monkeypatch.setattr(module, "log_ranges", brokers.log_ranges)
    monkeypatch.setattr(module, "RETRY_PAUSES_S", (0.001,))
    monkeypatch.setattr(module, "leader_of", lambda _, partition: brokers.leaders[partition])
    return brokers


@pytest.fixture
async def lookups(brokers: Brokers) -> AsyncIterator[SharedLookups]:
    consumer: Any = SimpleNamespace(beginning_offsets=brokers.beginning_offsets, end_offsets=brokers.end_offsets)
    async with asyncio.TaskGroup() as group:
        yield SharedLookups(consumer, group)


async def test_lanes_that_start_together_share_a_request(brokers: Brokers, lookups: SharedLookups) -> None:
    found = await asyncio.gather(*map(lookups.committed, PARTITIONS))
    assert [each.offset for each in found] == [0, 1, 2, 3]
    assert brokers.committed == [PARTITIONS]
    assert await lookups.committed(PARTITIONS[2]) == CommittedOffset(2)
    assert brokers.committed == [PARTITIONS, [PARTITIONS[2]]], "a request is sent after the call, and never kept"


async def test_each_leader_is_asked_once_for_the_logs_of_all_its_partitions(
    brokers: Brokers, lookups: SharedLookups
) -> None:
    found = await asyncio.gather(*map(lookups.log_range, PARTITIONS))
    assert found == [range(number, 10) for number in range(4)]
    assert sorted(brokers.ranges) == [(0, PARTITIONS[::2]), (1, PARTITIONS[1::2])]
    assert brokers.alone == []


async def test_a_partition_that_its_leader_does_not_report_is_looked_up_alone(
    brokers: Brokers, lookups: SharedLookups
) -> None:
    brokers.unknown, brokers.leaders[PARTITIONS[1]] = {PARTITIONS[0]}, None
    brokers.failing = {1}
    found = await asyncio.gather(*map(lookups.log_range, PARTITIONS))
    assert found == [range(5), range(5), range(2, 10), range(5)]


async def test_partitions_that_a_broker_does_not_lead_yet_are_asked_for_again_together(
    brokers: Brokers, lookups: SharedLookups
) -> None:
    brokers.empty_answers = 2
    found = await asyncio.gather(*map(lookups.log_range, PARTITIONS))
    assert found == [range(number, 10) for number in range(4)]
    assert sorted(brokers.ranges[2:]) == [(0, PARTITIONS[::2]), (1, PARTITIONS[1::2])]
    assert brokers.alone == []


async def test_a_leader_that_hangs_delays_only_its_own_partitions(
    brokers: Brokers, lookups: SharedLookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARED_TIMEOUT_S", 0.5)
    brokers.hanging = {1}
    hanging = asyncio.create_task(lookups.log_range(PARTITIONS[1]))
    assert await lookups.log_range(PARTITIONS[0]) == range(10)
    assert not hanging.done()
    assert await hanging == range(5)


async def test_a_request_ends_when_no_lane_waits_for_it_any_more(brokers: Brokers, lookups: SharedLookups) -> None:
    brokers.hanging = {1}
    tasks = [asyncio.create_task(lookups.log_range(PARTITIONS[1])) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await eventually(lambda: brokers.ranges)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    await eventually(lambda: brokers.given_up == 1)
    brokers.hanging = set()
    assert await lookups.log_range(PARTITIONS[1]) == range(1, 10)


async def test_a_lookup_after_one_that_was_cancelled_at_once_is_answered(
    brokers: Brokers, lookups: SharedLookups
) -> None:
    task = asyncio.create_task(lookups.committed(PARTITIONS[0]))
    await asyncio.sleep(0)  # it has asked, and its request has not begun
    task.cancel()
    await asyncio.wait({task})
    assert await lookups.committed(PARTITIONS[1]) == CommittedOffset(1)
    assert brokers.committed[-1] == [PARTITIONS[1]]


async def test_a_lane_that_ends_while_it_waits_costs_the_others_nothing(
    brokers: Brokers, lookups: SharedLookups
) -> None:
    tasks = [asyncio.create_task(lookups.committed(partition)) for partition in PARTITIONS[:2]]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == CommittedOffset(1)
    assert tasks[0].cancelled()
    assert brokers.committed == [PARTITIONS[:2]]
