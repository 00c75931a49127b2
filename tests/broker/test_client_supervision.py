"""What looks after the client, where the client itself would wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import UnknownError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import BrokerMetadata

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from consumer.observe.health import Health
from consumer.observe.metrics import Metrics
from consumer.settings import Settings
from tests.harness.images import drawn_digits
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import DEADLINE_S, eventually
from transport import cluster_monitor, metadata
from transport.cluster_monitor import monitor_cluster, poll_group
from transport.errors import FatalError
from transport.group_clients import open_group_consumer
from transport.reading import log_ends as ends
from transport.reading.fetching import Fetcher
from transport.transactions import PartitionProducer


@pytest.fixture
def settings(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_brokers_at_new_addresses_are_found_by_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_monitor, "MONITOR_INTERVAL_S", 0.1)
    health = Health(settings, Metrics())
    async with open_group_consumer(settings) as consumer:
        client = consumer._client
        for connection in client._conns.values():
            connection.close()
        client.cluster._brokers = {7: BrokerMetadata(7, HOST, free_ports(1)[0], None)}  # all that it has heard of last
        looking = asyncio.create_task(monitor_cluster(consumer, health.settings.topics, health.report_cluster))
        try:
            await eventually(lambda: health.cluster_trouble.startswith("no broker answers"))
            await eventually(lambda: not health.cluster_trouble)
            assert 7 not in {each.nodeId for each in client.cluster.brokers()}
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


async def test_a_hanging_broker_does_not_delay_metadata_from_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.shuffle", lambda nodes: nodes.sort(reverse=True))  # the one that hangs first
    with socket.create_server((HOST, 0)) as hanging:
        async with open_group_consumer(settings) as consumer:
            client = consumer._client
            client.cluster._brokers[7] = BrokerMetadata(7, HOST, hanging.getsockname()[1], None)
            begun_s = time.monotonic()
            assert await client.force_metadata_update()
            took_s = time.monotonic() - begun_s
    assert metadata.FIRST_TIMEOUT_S <= took_s < settings.kafka.request_timeout_ms / 1000


async def test_metadata_is_requested_at_most_ten_times_a_second(settings: Settings) -> None:
    async with open_group_consumer(settings) as consumer:
        begun_s = time.monotonic()
        for _ in range(6):  # as it does without end while a partition has no leader
            assert await consumer._client.force_metadata_update()
        assert time.monotonic() - begun_s >= 5 * metadata.REFRESH_PAUSE_S


async def test_a_fetch_refused_by_a_former_leader_is_repeated_after_a_pause(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = 0
    send = AIOKafkaClient.send

    async def counted(client: AIOKafkaClient, node: int, request: object, **options: object) -> object:
        nonlocal fetched
        fetched += isinstance(request, FetchRequest)
        return await send(client, node, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", counted)
    moved = TopicPartition(broker.topics.requests, broker.partitions)  # which the broker refuses, since it has no such
    async with open_group_consumer(settings) as consumer:
        (node,) = [each.nodeId for each in consumer._client.cluster.brokers()]
        monkeypatch.setattr(consumer._client.cluster, "leader_for_partition", lambda _: node)
        consumer.assign([moved])
        consumer.seek(moved, 0)
        assert await consumer.getmany(moved, timeout_ms=1_500) == {}
    assert 2 < fetched < 10


async def test_log_ends_are_known_although_no_fetch_is_answered(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "REFRESH_INTERVAL_S", 0.1)
    tp = TopicPartition(broker.topics.requests, 0)
    upstream = AIOKafkaProducer(**broker.cluster.client_options, transactional_id=f"upstream-{broker.group_id}")
    async with open_group_consumer(settings) as consumer, upstream:
        monkeypatch.setattr(consumer._fetcher, "_proc_fetch_request", lambda *_: asyncio.Event().wait())
        consumer.assign([tp])
        fetcher = Fetcher(consumer, tp, 0)
        looking = asyncio.create_task(ends.refresh_log_ends(consumer))
        try:
            await broker.send(drawn_digits(3), partition=0)
            async with upstream.transaction():
                await upstream.send_and_wait(tp.topic, b"hidden", partition=0)
                await eventually(lambda: consumer.highwater(tp), lambda end: end == 4)
                assert consumer.last_stable_offset(tp) == 3
                assert fetcher.lag_records() == 3
            await eventually(lambda: consumer.last_stable_offset(tp), lambda stable: stable == 5)
        finally:
            looking.cancel()
            await asyncio.wait([looking])


@pytest.fixture(scope="module")
def creative(cluster: Cluster) -> Iterator[Cluster]:
    """Give a broker that creates a topic when somebody asks for it by name."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(properties={"auto.create.topics.enable": "true"}) as own:
        yield own


async def test_deleted_topics_are_not_created_again_by_a_metadata_request(
    creative: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_topics(creative, partitions=1) as others, fresh_topics(creative, partitions=1) as broker:
        for name, value in broker.environment.items():
            monkeypatch.setenv(name, value)
        settings, health = Settings(), Health(Settings(), Metrics())
        tp = TopicPartition(broker.topics.requests, 0)
        async with (
            open_group_consumer(settings) as consumer,
            PartitionProducer.fencing(tp, settings) as producer,
        ):
            clients = [consumer._client, producer._producer.client]
            for client in clients:
                assert await client.force_metadata_update()
                assert client.cluster.topics() == set(broker.topics.names), "all topics were asked for"
            await broker.admin.delete_topics(list(broker.topics.names))
            looking = asyncio.create_task(monitor_cluster(consumer, health.settings.topics, health.report_cluster))
            try:
                await eventually(lambda: health.cluster_trouble.startswith("topics are gone: "))
            finally:
                looking.cancel()
                await asyncio.wait([looking])
            for client in clients * 3:
                assert await client.force_metadata_update()
                assert client.cluster.topics() == set()
            left = set(await broker.admin.list_topics())
    assert left.isdisjoint(broker.topics.names)
    assert left >= set(others.topics.names)


async def test_a_fetch_task_that_fails_ends_the_service(broker: Broker, settings: Settings) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("forced")

    async with open_group_consumer(settings) as consumer, asyncio.timeout(DEADLINE_S):
        consumer._fetcher._get_actions_per_node = fails
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(FatalError, match=r"the client fetches no more: KafkaError: .*Unexpected error"):
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
    strangers = AIOKafkaConsumer(
        broker.topics.requests,
        bootstrap_servers=broker.cluster.bootstrap_servers,
        group_id=broker.group_id,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    async with strangers, open_group_consumer(settings) as consumer, asyncio.timeout(DEADLINE_S):
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(FatalError, match=r"the group does not take us: .*InconsistentGroupProtocol"):
            await poll_group(consumer)
