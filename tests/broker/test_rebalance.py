"""Races of one partition's owners, forced event by event inside this process, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer import service
from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions.assignment import Assignment
from consumer.partitions.lane import Lane
from consumer.partitions.opening.position import start_offset
from consumer.settings import Settings
from consumer.workers.pinned_model import PinnedModel
from consumer.workers.quarantine import CANARY, Quarantine
from contract.records import result_id
from tests.harness.images import drawn_digits
from tests.harness.topics import Broker, Position
from tests.harness.waiting import eventually
from transport.errors import OwnershipLost
from transport.group.consumers import open_group_consumer
from transport.transactions import OutgoingRecord, PartitionProducer

DEAD_LETTER_BYTES = 1024 * 1024


@pytest.fixture
def settings(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@dataclass
class Member:
    """A group member with its assignment, in this process."""

    consumer: AIOKafkaConsumer
    assignment: Assignment

    async def rebalance(self) -> None:
        """Have all partitions revoked and assigned again at once."""
        before = set(self.assignment.lanes.values())
        self.consumer._coordinator.request_rejoin()
        await eventually(lambda: self.all_started() and before.isdisjoint(self.assignment.lanes.values()))

    def all_started(self) -> bool:
        return bool(self.assignment.lanes) and all(lane.started for lane in self.assignment.lanes.values())


@pytest.fixture
async def member(settings: Settings, broker: Broker) -> AsyncIterator[Member]:
    budget, model, observer = MemoryBudget(2**26), PinnedModel.read(settings.model), Metrics(settings.topics)
    async with asyncio.TaskGroup() as group:
        workers = service.worker_pool(settings, model, budget, observer)
        working = group.create_task(workers.run())
        await workers.ready()
        async with open_group_consumer(settings) as consumer:
            quarantine = Quarantine(workers, CANARY.read_bytes(), service_faults=10)
            assignment = service.assigned_lanes(
                settings, consumer, quarantine, budget, group, dead_letter_bytes=DEAD_LETTER_BYTES, observer=observer
            )
            consumer.subscribe([broker.topics.requests], listener=assignment)
            member = Member(consumer, assignment)
            await eventually(member.all_started)
            yield member
            await assignment.drain()
        working.cancel()
    model.close()


async def published_once_and_in_order(broker: Broker, sent: list[Position]) -> None:
    expected = [result_id(broker.topics.requests, *position, 0) for position in sorted(sent)]
    assert [result.result_id for result in await broker.results()] == expected


async def test_a_partition_returned_while_its_lane_fetches_is_read_by_one_lane(broker: Broker, member: Member) -> None:
    sent = await broker.send(drawn_digits(80))
    await broker.everything_answered()
    for _ in range(3):  # each time all lanes wait for records: everything is answered
        await member.rebalance()
        sent += await broker.send(drawn_digits(80))
        await broker.everything_answered()
    await published_once_and_in_order(broker, sent)


async def test_a_partition_returned_while_its_lane_commits_is_answered_once(
    broker: Broker, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing = asyncio.Event()
    commit = PartitionProducer.commit

    async def announced(*arguments: object) -> None:
        committing.set()
        await commit(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(PartitionProducer, "commit", announced)
    sent: list[Position] = []
    for _ in range(5):
        committing.clear()
        sending = asyncio.create_task(broker.send(drawn_digits(800)))
        await committing.wait()
        assert any(lane.in_transaction for lane in member.assignment.lanes.values())
        await member.rebalance()
        sent += await sending
    await broker.everything_answered()
    await published_once_and_in_order(broker, sent)


async def test_an_owner_that_wakes_after_a_takeover_commits_nothing(broker: Broker, settings: Settings) -> None:
    await broker.send(drawn_digits(4), partition=0)
    tp = TopicPartition(broker.topics.requests, 0)
    target = TopicPartition(broker.topics.predictions, 0)

    def claim(owner: bytes) -> dict[TopicPartition, list[OutgoingRecord]]:
        return {target: [OutgoingRecord(None, owner, [])]}

    async with (
        open_group_consumer(settings) as consumer,
        PartitionProducer.fencing(tp, settings) as old,
    ):
        await old.commit(claim(b"old owner, offset 2"), 2)
        # 1. The old owner has sent results up to offset 4 and stalls before its commit.
        await old._producer.begin_transaction()
        await old._send(target, claim(b"old owner, offset 4")[target])
        await old._send_offset(4)
        # 2. The new owner fences, reads the committed offset, and starts after it.
        async with PartitionProducer.fencing(tp, settings) as new:
            assert await start_offset(consumer, tp, settings.kafka.on_lost_offset) == 2
            # 3. The old owner wakes and commits: refused.
            with pytest.raises(Exception, match=r"(?i)fenced|producer"):
                await old._producer.commit_transaction()
            with pytest.raises(OwnershipLost):
                await old.commit(claim(b"old owner, again"), 4)
            await new.commit(claim(b"new owner, offset 4"), 4)
    values = [record.value for record in await broker.read(broker.topics.predictions)]
    assert values == [b"old owner, offset 2", b"new owner, offset 4"]
    assert (await broker.committed_offsets())[0] == 4


async def test_a_fenced_lane_whose_partition_is_still_assigned_starts_again(
    broker: Broker, member: Member, settings: Settings
) -> None:
    tp = TopicPartition(broker.topics.requests, 0)
    fenced: Lane = member.assignment.lanes[tp]
    async with PartitionProducer.fencing(tp, settings):
        sent = await broker.send(drawn_digits(50), partition=0)
        await eventually(lambda: member.assignment.lanes[tp] is not fenced)
    await broker.everything_answered()
    await published_once_and_in_order(broker, sent)
