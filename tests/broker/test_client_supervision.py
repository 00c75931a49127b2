"""The service supervises the Kafka client in cases in which the client alone would wait without end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import UnknownError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import BrokerMetadata

from broker.ports import free_ports
from broker.probe import HOST
from consumer.observe.health import ServiceStatus
from consumer.settings import Settings
from tests.harness.images import drawn_digits
from tests.harness.topics import Broker
from tests.harness.waiting import DEADLINE_S, eventually
from transport import cluster_monitor, metadata
from transport.cluster_monitor import monitor_cluster, poll_group
from transport.errors import FatalError
from transport.group.consumers import open_group_consumer
from transport.reading import log_ends as ends


@pytest.fixture
def settings(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_brokers_at_new_addresses_are_found_by_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_monitor, "MONITOR_INTERVAL_S", 0.1)
    status = ServiceStatus()
    async with open_group_consumer(settings) as consumer:
        client = consumer._client
        for connection in client._conns.values():
            connection.close()
        client.cluster._brokers = {7: BrokerMetadata(7, HOST, free_ports(1)[0], None)}  # all that it has heard of last
        looking = asyncio.create_task(monitor_cluster(consumer, settings.topics, status.report_cluster))
        try:
            await eventually(lambda: status.cluster_problem.startswith("no broker answers"))
            await eventually(lambda: not status.cluster_problem)
            assert 7 not in {each.nodeId for each in client.cluster.brokers()}
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


@pytest.mark.usefixtures("settings")
async def test_a_hanging_broker_does_not_delay_metadata_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.shuffle", lambda nodes: nodes.sort(reverse=True))  # asks the hanging one first
    # A client that waits for the whole request timeout exceeds the time limit of the test.
    monkeypatch.setenv("DIGITS_KAFKA__REQUEST_TIMEOUT_MS", "600000")
    monkeypatch.setenv("DIGITS_KAFKA__SESSION_TIMEOUT_MS", "1200000")
    with socket.create_server((HOST, 0)) as hanging:
        async with open_group_consumer(Settings()) as consumer:
            client = consumer._client
            client.cluster._brokers[7] = BrokerMetadata(7, HOST, hanging.getsockname()[1], None)
            begun_s = time.monotonic()
            assert await client.force_metadata_update()
            took_s = time.monotonic() - begun_s
    assert took_s >= metadata.FIRST_TIMEOUT_S, "the hanging broker was asked first"


async def test_metadata_is_requested_at_most_ten_times_a_second(settings: Settings) -> None:
    async with open_group_consumer(settings) as consumer:
        begun_s = time.monotonic()
        for _ in range(6):  # as it does without end while a partition has no leader
            assert await consumer._client.force_metadata_update()
        assert time.monotonic() - begun_s >= 5 * metadata.REFRESH_PAUSE_S


async def test_a_fetch_refused_by_a_former_leader_is_repeated_after_a_pause(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_s: list[float] = []
    send = AIOKafkaClient.send

    async def counted(client: AIOKafkaClient, node: int, request: object, **options: object) -> object:
        if isinstance(request, FetchRequest):
            sent_s.append(time.monotonic())
        return await send(client, node, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", counted)
    moved = TopicPartition(broker.topics.requests, broker.partitions)  # which the broker refuses, since it has no such
    async with open_group_consumer(settings) as consumer:
        (node,) = [each.nodeId for each in consumer._client.cluster.brokers()]
        monkeypatch.setattr(consumer._client.cluster, "leader_for_partition", lambda _: node)
        consumer.assign([moved])
        consumer.seek(moved, 0)
        await eventually(lambda: len(sent_s), lambda count: count > len(metadata.REFUSAL_PAUSES_S))
    pauses_s = [after - before for before, after in pairwise(sent_s)]
    assert all(found >= least for found, least in zip(pauses_s, metadata.REFUSAL_PAUSES_S, strict=False)), pauses_s


async def test_log_ends_are_known_although_no_fetch_is_answered(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "REFRESH_INTERVAL_S", 0.1)
    tp = TopicPartition(broker.topics.requests, 0)
    upstream = AIOKafkaProducer(**broker.cluster.client_options, transactional_id=f"upstream-{broker.group_id}")
    async with open_group_consumer(settings) as consumer, upstream:
        consumer.assign([tp])
        consumer.pause(tp)
        consumer.seek(tp, 0)
        looking = asyncio.create_task(ends.refresh_log_ends(consumer))
        try:
            await broker.send(drawn_digits(3), partition=0)
            async with upstream.transaction():
                await upstream.send_and_wait(tp.topic, b"hidden", partition=0)
                await eventually(lambda: consumer.highwater(tp), lambda end: end == 4)
                assert consumer.last_stable_offset(tp) == 3
            await eventually(lambda: consumer.last_stable_offset(tp), lambda stable: stable == 5)
        finally:
            looking.cancel()
            await asyncio.wait([looking])


async def test_a_fetch_task_that_fails_ends_the_service(broker: Broker, settings: Settings) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("forced")

    async with open_group_consumer(settings) as consumer, asyncio.timeout(DEADLINE_S):
        consumer._fetcher._get_actions_per_node = fails
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(FatalError, match=r"the fetch task of the client has ended: KafkaError: .*Unexpected error"):
            await poll_group(consumer)


async def test_a_member_whose_heartbeat_task_has_ended_joins_again(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_monitor, "MONITOR_INTERVAL_S", 0.1)

    async def fails() -> bool:
        raise UnknownError("forced")

    async with open_group_consumer(settings) as consumer:
        consumer.subscribe([broker.topics.requests])
        coordinator = consumer._coordinator
        staying = asyncio.create_task(poll_group(consumer))
        try:
            await eventually(lambda: coordinator._heartbeat_task is not None)
            beating = coordinator._heartbeat_task
            generation = coordinator.generation
            with monkeypatch.context() as patch:
                patch.setattr(coordinator, "_do_heartbeat", fails)
                await eventually(beating.done)
            await eventually(lambda: coordinator.generation > generation)
            await eventually(lambda: coordinator._heartbeat_task not in (None, beating))
            assert not coordinator._heartbeat_task.done()
            assert not staying.done()
        finally:
            staying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await staying


async def test_a_group_that_refuses_the_member_ends_the_service(broker: Broker, settings: Settings) -> None:
    others = AIOKafkaConsumer(
        broker.topics.requests,
        bootstrap_servers=broker.cluster.bootstrap_servers,
        group_id=broker.group_id,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    async with others, open_group_consumer(settings) as consumer, asyncio.timeout(DEADLINE_S):
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(FatalError, match=r"the group refuses this member: .*InconsistentGroupProtocol"):
            await poll_group(consumer)
