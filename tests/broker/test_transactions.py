"""Transactions of the sink on a real broker, with both versions of transactions."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition

from broker import Cluster
from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.publishing import (
    batches_of,
    joined,
    member_of,
    offsets_of,
    outsider,
    request_partitions,
    settings_of,
    values_by_partition,
)
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import DEADLINE_S, eventually
from transport.batches.layout import HEADER_BYTES
from transport.errors import FatalError, OwnershipLost
from transport.protocol.error_codes import UNSTABLE_OFFSET_COMMIT
from transport.protocol.offsets import fetch_offsets
from transport.protocol.requests import Prepared
from transport.protocol.transaction_states import list_transactions
from transport.protocol.transactions import init_producer_id
from transport.settings.kafka import GroupSettings
from transport.sink.connections import SinkConnections
from transport.sink.outcomes import NotCommitted, OutcomeUnknown
from transport.sink.producer import TransactionalProducer

CLUSTERS = ["cluster", "first_version"]
END_TXN = 26
LARGE = bytes(200 * 1024)
SOON_S = 30.0
"""Half of the time after which the broker itself would end a transaction."""
RECORD_COUNT, TIMESTAMPS = struct.Struct(">i"), struct.Struct(">qq")
LAST_OFFSET_DELTA_AT, TIMESTAMPS_AT = 23, 27


@pytest.fixture(params=CLUSTERS, ids=["version 2", "version 1"])
async def broker(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """Topics and a group with a coordinator, on a broker with one of both versions."""
    del cluster  # where Kafka is not installed, it has skipped the test
    async with fresh_topics(request.getfixturevalue(request.param)) as broker:
        await broker.send([b"request"] * broker.partitions)
        await broker.commit(0, partition=0)
        yield broker


class StallingProducer(TransactionalProducer):
    """Stops when everything is written, before the end of the transaction, as an instance that dies does."""

    def __init__(self, connections: SinkConnections, prefix: str, settings: GroupSettings) -> None:
        own = connections.apart(self)
        self.written = asyncio.Event()
        self.may_end = asyncio.Event()
        send = own.send

        async def stall_at_the_end(node: int, request: Prepared) -> Any:
            if request.struct.API_KEY == END_TXN:
                self.written.set()
                await self.may_end.wait()
            return await send(node, request)

        own.send = stall_at_the_end  # type: ignore[method-assign]  # as its name says
        super().__init__(own, prefix, settings)


@contextlib.asynccontextmanager
async def connections_to(broker: Broker) -> AsyncIterator[SinkConnections]:
    """Connect as a slot of the publisher does, and wait until all partitions have their leaders."""
    settings = settings_of(broker)
    async with SinkConnections.opened(settings) as connections:
        first = TransactionalProducer(connections, f"{broker.group_id}.first", settings)

        async def leads() -> bool:
            with contextlib.suppress(NotCommitted):
                await first.commit(batches_of(broker, b"first"), offsets_of(broker, 0), outsider(broker))
                return True
            return False

        await eventually(leads)
        await eventually(lambda: all_ended(broker))
        yield connections


def producer_over(connections: SinkConnections, broker: Broker, name: str = "x") -> TransactionalProducer:
    return TransactionalProducer(connections, f"{broker.group_id}.{name}", settings_of(broker))


async def committed(broker: Broker) -> tuple[list[bytes], set[int | None]]:
    """Return the values after the first one, which must be the same in all partitions, and the committed offsets."""
    by_partition = await values_by_partition(broker, broker.topics.predictions)
    assert all(values == by_partition[0] for values in by_partition)
    first, *values = by_partition[0]
    assert first == b"first"
    return values, set((await broker.committed_offsets()).values())


async def fetched(connections: SinkConnections, broker: Broker, *, stable: bool) -> set[tuple[int, int]]:
    """Return offset and error code of the requests' partitions."""
    node = await connections.group_coordinator(broker.group_id)
    answer = await connections.send(node, fetch_offsets(broker.group_id, request_partitions(broker), stable=stable))
    assert answer.error_code == 0
    return {(offset, code) for _, partitions, *_ in answer.topics for _, offset, _, _, code, *_ in partitions}


async def last_stable_offsets(broker: Broker) -> set[int]:
    """Return up to where read_committed readers of the predictions see."""
    async with broker._reader(broker.topics.predictions, isolation_level="read_committed") as consumer:
        await consumer.seek_to_end()
        return {await consumer.position(each) for each in consumer.assignment()}


async def all_ended(broker: Broker) -> bool:
    """Return whether all transactions in the predictions have ended, their markers included."""
    return await last_stable_offsets(broker) == set((await broker.end_offsets(broker.topics.predictions)).values())


async def test_results_of_all_partitions_and_their_offsets_are_visible_only_after_the_end(broker: Broker) -> None:
    async with connections_to(broker) as connections, asyncio.TaskGroup() as group:
        (end,) = await last_stable_offsets(broker)
        producer = StallingProducer(connections, f"{broker.group_id}.x", settings_of(broker))
        committing = group.create_task(
            producer.commit(batches_of(broker, b"a", b"b"), offsets_of(broker, 5), outsider(broker))
        )
        await producer.written.wait()
        assert set((await broker.end_offsets(broker.topics.predictions)).values()) == {end + 2}, "all are written"
        assert await last_stable_offsets(broker) == {end}
        assert await fetched(connections, broker, stable=False) == {(0, 0)}
        producer.may_end.set()
        await committing
        assert await committed(broker) == ([b"a", b"b"], {5})
        assert await fetched(connections, broker, stable=True) == {(5, 0)}


async def test_transactions_follow_each_other_in_order_with_all_of_their_batches(
    broker: Broker, request: pytest.FixtureRequest
) -> None:
    async with connections_to(broker) as connections:
        producer = producer_over(connections, broker)
        values = [b"%d " % number + LARGE for number in range(12)]
        for begin in range(0, 12, 4):
            batches = batches_of(broker, *values[begin : begin + 4])
            assert {len(each) for each in batches.values()} == {2}, "several batches of a partition"
            await producer.commit(batches, offsets_of(broker, begin + 4), outsider(broker))
        assert await committed(broker) == (values, {12})
        assert (await producer._epochs.settle()).has_version_2 == (request.node.callspec.params["broker"] == "cluster")


async def test_a_transaction_that_one_partition_refuses_is_visible_in_none(broker: Broker) -> None:
    async with connections_to(broker) as connections:
        producer = producer_over(connections, broker)
        too_large = list(build_batches([OutgoingRecord(None, bytes(5 * 2**20), [])]))
        batches = batches_of(broker, b"refused") | {TopicPartition(broker.topics.predictions, 3): too_large}
        with pytest.raises(FatalError, match="MessageSizeTooLarge"):
            await producer.commit(batches, offsets_of(broker, 9), outsider(broker))
        await producer.commit(batches_of(broker, b"a"), offsets_of(broker, 1), outsider(broker))
        assert await committed(broker) == ([b"a"], {1})


def with_a_damaged_record(batch: bytearray) -> None:
    batch[HEADER_BYTES] += 2  # its length


def with_another_count(batch: bytearray) -> None:
    RECORD_COUNT.pack_into(batch, HEADER_BYTES - RECORD_COUNT.size, 2)


def with_another_last_offset(batch: bytearray) -> None:
    batch[LAST_OFFSET_DELTA_AT + 3] = 1


def from_the_far_future(batch: bytearray) -> None:
    TIMESTAMPS.pack_into(batch, TIMESTAMPS_AT, 2**42, 2**42)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (with_a_damaged_record, "InvalidRecordError"),
        (with_another_count, "InvalidRecordError"),
        (with_another_last_offset, "InvalidRecordError"),
        (from_the_far_future, "InvalidTimestampError"),
    ],
)
async def test_a_batch_that_a_broker_does_not_take_is_fatal_and_its_partition_is_named(
    broker: Broker, change: Callable[[bytearray], None], error: str
) -> None:
    """A worker under an attacker's control could write it: the service checks only the headers of batches."""
    async with connections_to(broker) as connections:
        producer = producer_over(connections, broker)
        batches = batches_of(broker, b"refused")
        refused = TopicPartition(broker.topics.predictions, 3)
        change(batches[refused][0].data)
        with pytest.raises(FatalError, match=rf"^cannot commit: .*{error}.*: {refused.topic}/3$"):
            await producer.commit(batches, offsets_of(broker, 9), outsider(broker))
        await eventually(lambda: all_ended(broker))
        await producer.commit(batches_of(broker, b"a"), offsets_of(broker, 1), outsider(broker))
        assert await committed(broker) == ([b"a"], {1})


async def test_a_stale_member_commits_nothing(broker: Broker) -> None:
    async with connections_to(broker) as connections, joined(broker) as consumer:
        producer, member = producer_over(connections, broker), member_of(consumer)
        stale = [
            member._replace(generation=member.generation - 1),
            member._replace(generation=member.generation + 1),
            member._replace(member_id="unknown"),
            member._replace(instance_id="unknown"),
        ]
        for each in stale:
            with pytest.raises(OwnershipLost, match="the group refuses the offsets"):
                await producer.commit(batches_of(broker, b"stale"), offsets_of(broker, 9), each)
        await producer.commit(batches_of(broker, b"a"), offsets_of(broker, 1), member)
        assert await committed(broker) == ([b"a"], {1})


async def test_a_member_that_has_slept_through_a_rebalance_commits_nothing(broker: Broker) -> None:
    async with connections_to(broker) as connections, joined(broker) as consumer:
        producer, member = producer_over(connections, broker), member_of(consumer)
        await producer.commit(batches_of(broker, b"a"), offsets_of(broker, 1), member)
        async with joined(broker) as other:
            await eventually(lambda: member_of(consumer).generation == member_of(other).generation)
            for name, sleeper in (("x", producer), ("later", producer_over(connections, broker, "later"))):
                with pytest.raises(OwnershipLost):
                    await sleeper.commit(batches_of(broker, name.encode()), offsets_of(broker, 9), member)
            await producer.commit(batches_of(broker, b"b"), offsets_of(broker, 2), member_of(other))
        assert await committed(broker) == ([b"a", b"b"], {2})


async def test_a_refused_transaction_does_not_block_readers(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.sink.producer.END_AT_ONCE_S", DEADLINE_S)  # the machine may be busy
    async with connections_to(broker) as connections, joined(broker) as consumer:
        stale = member_of(consumer)._replace(generation=99)
        with pytest.raises(OwnershipLost):
            await producer_over(connections, broker).commit(batches_of(broker, b"a"), offsets_of(broker, 9), stale)
        await eventually(lambda: all_ended(broker), deadline_s=SOON_S)


async def test_a_cancelled_transaction_does_not_block_readers(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.sink.producer.END_AT_ONCE_S", DEADLINE_S)  # the machine may be busy
    async with connections_to(broker) as connections, joined(broker) as consumer:
        producer = StallingProducer(connections, f"{broker.group_id}.cancelled", settings_of(broker))
        committing = asyncio.create_task(
            producer.commit(batches_of(broker, b"a"), offsets_of(broker, 9), member_of(consumer))
        )
        await producer.written.wait()
        committing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await committing
        await eventually(lambda: all_ended(broker), deadline_s=SOON_S)


async def test_a_member_removed_from_the_group_commits_nothing(broker: Broker) -> None:
    async with connections_to(broker) as connections, joined(broker) as consumer:
        producer, member = producer_over(connections, broker), member_of(consumer)
        await broker.expel_members()
        with pytest.raises(OwnershipLost):
            await producer.commit(batches_of(broker, b"removed"), offsets_of(broker, 9), member)
    async with connections_to(broker) as connections:
        assert set((await broker.committed_offsets()).values()) == {0}
        assert await fetched(connections, broker, stable=True) == {(0, 0)}


async def test_offsets_of_a_dead_instance_are_stable_once_its_transaction_is_ended_by_its_id(broker: Broker) -> None:
    async with connections_to(broker) as connections:
        dead = StallingProducer(connections, f"{broker.group_id}.dead", settings_of(broker))
        dead.may_end.set()
        await dead.settle()
        await dead.commit(batches_of(broker, b"a"), offsets_of(broker, 1), outsider(broker))
        for event in (dead.written, dead.may_end):
            event.clear()
        dying = asyncio.create_task(dead.commit(batches_of(broker, b"b"), offsets_of(broker, 2), outsider(broker)))
        await dead.written.wait()
        (unstable,) = await fetched(connections, broker, stable=True)
        assert unstable[1] == UNSTABLE_OFFSET_COMMIT
        assert await fetched(connections, broker, stable=False) == {(1, 0)}
        named = dead.transactional_id
        node = await connections.transaction_coordinator(named)
        listed = await connections.send(node, list_transactions("Ongoing"))
        assert named in {transactional_id for transactional_id, *_ in listed.transactions}
        await eventually(lambda: connections.send(node, init_producer_id(named, 10_000)), lambda a: not a.error_code)
        stable = await eventually(
            lambda: fetched(connections, broker, stable=True),
            lambda seen: all(code != UNSTABLE_OFFSET_COMMIT for *_, code in seen),
        )
        assert stable == {(1, 0)}
        dead.may_end.set()  # it was only slow
        with pytest.raises(OutcomeUnknown):
            await dying
        assert await committed(broker) == ([b"a"], {1})
        await dead.commit(batches_of(broker, b"b"), offsets_of(broker, 2), outsider(broker))
        assert await committed(broker) == ([b"a", b"b"], {2})


async def test_a_broker_too_old_for_the_sink_is_named_with_what_it_lacks(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connections_to(broker) as connections:
        monkeypatch.setattr(init_producer_id("", 0).struct.__class__, "API_VERSION", 99)
        with pytest.raises(FatalError, match=r"^cannot commit: .*understands versions 0 to \d+ of request 22"):
            await producer_over(connections, broker).settle()
