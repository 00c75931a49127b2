"""Races of one partition's owners, forced event by event inside this process, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer import service
from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions.assignment import Assignment
from consumer.partitions.opening.position import start_offset
from consumer.partitions.publisher import Publisher
from consumer.settings import Settings
from consumer.startup.model import fetch_model
from consumer.workers.canary import CANARY
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.quarantine import Quarantine
from contract.records import result_id
from tests.harness.images import drawn_digits
from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.topics import Broker, Position
from tests.harness.waiting import eventually
from transport.errors import OwnershipLost
from transport.group.consumers import open_group_consumer
from transport.group.membership import Membership
from transport.protocol.offsets import Member
from transport.sink.batches import OutgoingBatch
from transport.sink.epochs import Epoch
from transport.sink.leftovers import LeftTransactions
from transport.sink.outcomes import OutcomeUnknown
from transport.sink.producer import TransactionalProducer, new_ids, open_producers
from transport.sink.transaction import Transaction
from transport.source.partition import Fetched

DEAD_LETTER_BYTES = 1024 * 1024


@pytest.fixture
def settings(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@dataclass
class Instance:
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
async def member(settings: Settings, broker: Broker) -> AsyncIterator[Instance]:
    budget, model, observer = (
        MemoryBudget(2**26),
        PinnedModel.of(fetch_model(settings).files, settings.model),
        Metrics(),
    )
    async with asyncio.TaskGroup() as group:
        workers = service.worker_pool(settings, model, budget, observer)
        working = group.create_task(workers.run())
        await workers.ready()
        async with open_group_consumer(settings) as consumer:
            quarantine = Quarantine(workers, CANARY.read_bytes(), service_faults=10)
            async with service.assigned_lanes(
                settings, consumer, quarantine, budget, group, dead_letter_bytes=DEAD_LETTER_BYTES, observer=observer
            ) as assignment:
                consumer.subscribe([broker.topics.requests], listener=assignment)
                member = Instance(consumer, assignment)
                await eventually(member.all_started)
                yield member
                await assignment.drain()
        working.cancel()
    model.close()


async def published_once_and_in_order(broker: Broker, sent: list[Position]) -> None:
    expected = [result_id(broker.topics.requests, *position, 0) for position in sorted(sent)]
    assert [result.result_id for result in await broker.results()] == expected


async def test_a_partition_returned_while_its_lane_fetches_is_read_by_one_lane(
    broker: Broker, member: Instance
) -> None:
    sent = await broker.send(drawn_digits(80))
    await broker.everything_answered()
    for _ in range(3):  # each time all lanes wait for records: everything is answered
        await member.rebalance()
        sent += await broker.send(drawn_digits(80))
        await broker.everything_answered()
    await published_once_and_in_order(broker, sent)


async def test_a_partition_returned_while_its_lane_commits_is_answered_once(
    broker: Broker, member: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing = asyncio.Event()
    commit = TransactionalProducer.commit

    async def announced(*arguments: Any) -> None:
        committing.set()
        await commit(*arguments)

    monkeypatch.setattr(TransactionalProducer, "commit", announced)
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


async def test_an_owner_that_wakes_after_a_takeover_commits_nothing(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.send(drawn_digits(4), partition=0)
    tp = TopicPartition(broker.topics.requests, 0)

    def claim(owner: bytes) -> dict[TopicPartition, list[OutgoingBatch]]:
        target = TopicPartition(broker.topics.predictions, 0)
        return {target: list(build_batches([OutgoingRecord(None, owner, [])]))}

    async with (
        asyncio.TaskGroup() as group,
        open_group_consumer(settings) as consumer,
        open_producers(settings, [], new_ids(settings), 2) as (old, new),
    ):
        membership = Membership(consumer)
        consumer.subscribe([broker.topics.requests])
        await eventually(consumer.assignment)
        stale = membership.member()
        await old.commit(claim(b"old owner, offset 2"), {tp: 2}, stale)
        # 1. The old owner has sent results and the offset up to 4 and stalls before its commit.
        stalled, going_on, end = asyncio.Event(), asyncio.Event(), Transaction.end

        async def stall(transaction: Transaction) -> Epoch:
            stalled.set()
            await going_on.wait()
            return await end(transaction)

        with monkeypatch.context() as patched:
            patched.setattr(Transaction, "end", stall)
            late = asyncio.create_task(old.commit(claim(b"old owner, offset 4"), {tp: 4}, stale))
            await stalled.wait()
        # 2. The group gives the partition to a member of its next generation.
        consumer._coordinator.request_rejoin()
        await eventually(lambda: consumer._coordinator.generation > stale.generation and consumer.assignment())
        # 3. The new owner ends the open transaction, reads the stable offset, and starts after it.
        left = LeftTransactions(consumer, settings, new_ids(settings), group)
        assert await start_offset(consumer, tp, settings.kafka.on_lost_offset, left.look) == 2
        # 4. The old owner wakes and commits: refused, and so is all that it sends afterwards.
        going_on.set()
        with pytest.raises(OutcomeUnknown):
            await late
        with pytest.raises(OwnershipLost, match="the group refuses the offsets"):
            await old.commit(claim(b"old owner, again"), {tp: 4}, stale)
        await new.commit(claim(b"new owner, offset 4"), {tp: 4}, membership.member())
        await old.settle()  # readers need not wait for what it has left
    values = [record.value for record in await broker.read(broker.topics.predictions)]
    assert values == [b"old owner, offset 2", b"new owner, offset 4"]
    assert (await broker.committed_offsets())[0] == 4


async def test_a_refused_lane_whose_partition_is_still_assigned_starts_again(
    broker: Broker, member: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on: lanes of different generations are never in one transaction."""
    real, given = Membership.member, 0

    def of_another_generation_at_first(membership: Membership) -> Member:
        nonlocal given
        given += 1
        present = real(membership)
        return present._replace(generation=present.generation + 7) if given == 1 else present

    monkeypatch.setattr(Membership, "member", of_another_generation_at_first)
    await member.rebalance()
    before = dict(member.assignment.lanes)
    sent = await broker.send(drawn_digits(80))
    await broker.everything_answered()
    after = member.assignment.lanes
    assert sum(after[partition] is not lane for partition, lane in before.items()) == 1
    await published_once_and_in_order(broker, sent)


async def test_a_lane_does_not_start_before_the_transaction_of_the_last_one_has_ended(
    broker: Broker, member: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator takes its offset, since the member and its generation are the same."""
    write, stalled, going_on = Transaction.write, asyncio.Event(), asyncio.Event()

    async def stall(*arguments: Any) -> None:
        stalled.set()
        await going_on.wait()
        await write(*arguments)

    tp = TopicPartition(broker.topics.requests, 0)
    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "write", stall)
        sent = await broker.send(drawn_digits(10), partition=0)
        await stalled.wait()
    lost = member.assignment.lanes[tp]

    async def fail() -> Fetched:
        raise OwnershipLost("as if the offset were out of range")

    order: list[str] = []
    free = Publisher.partition_free

    async def waiting(publisher: Publisher, partition: TopicPartition) -> None:
        going_on.set()
        await free(publisher, partition)
        order.append("free")

    async def found(*arguments: Any, **options: Any) -> int | None:
        offset = await start_offset(*arguments, **options)
        order.append(f"found {offset}")
        going_on.set()  # too late, if nothing has waited
        return offset

    monkeypatch.setattr(lost._source, "fetch", fail)
    monkeypatch.setattr(Publisher, "partition_free", waiting)
    monkeypatch.setattr("consumer.partitions.opening.takeover.start_offset", found)
    sent += await broker.send(drawn_digits(10), partition=0)
    await eventually(lambda: member.assignment.lanes[tp] is not lost and member.all_started())
    assert order == ["free", "found 10"]
    await broker.everything_answered()
    await published_once_and_in_order(broker, sent)
