"""What looks after the client, where the client itself would wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import UnknownError
from aiokafka.structs import BrokerMetadata

from broker.ports import free_ports
from broker.probe import HOST
from consumer import metadata, service, watch
from consumer.errors import Fatal
from consumer.health import Health
from consumer.metrics import Metrics
from consumer.settings import Settings
from tests.harness.broker import Broker
from tests.harness.waiting import DEADLINE_S, eventually


@pytest.fixture
def settings(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_brokers_that_have_all_moved_are_found_by_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_INTERVAL_S", 0.1)
    health = Health(settings, Metrics())
    async with service._consumer(settings, asyncio.Event()) as consumer:
        client = consumer._client
        for connection in client._conns.values():
            connection.close()
        client.cluster._brokers = {7: BrokerMetadata(7, HOST, free_ports(1)[0], None)}  # all that it has heard of last
        looking = asyncio.create_task(watch.look_after(consumer, health))
        try:
            await eventually(lambda: health.cluster_trouble.startswith("no broker answers: "))
            await eventually(lambda: not health.cluster_trouble)
            assert 7 not in {each.nodeId for each in client.cluster.brokers()}
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


async def test_a_broker_that_hangs_does_not_hold_up_what_the_others_know(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.shuffle", lambda nodes: nodes.sort(reverse=True))  # the one that hangs first
    with socket.create_server((HOST, 0)) as hanging:
        async with service._consumer(settings, asyncio.Event()) as consumer:
            client = consumer._client
            client.cluster._brokers[7] = BrokerMetadata(7, HOST, hanging.getsockname()[1], None)
            begun_s = time.monotonic()
            assert await client.force_metadata_update()
            took_s = time.monotonic() - begun_s
    assert metadata.PATIENCE_S <= took_s < settings.kafka.request_timeout_ms / 1000


async def test_a_client_that_wants_to_know_at_once_asks_ten_times_a_second(settings: Settings) -> None:
    async with service._consumer(settings, asyncio.Event()) as consumer:
        begun_s = time.monotonic()
        for _ in range(6):  # as it does without end while a partition has no leader
            assert await consumer._client.force_metadata_update()
        assert time.monotonic() - begun_s >= 5 * metadata.PAUSE_S


async def test_a_client_that_fetches_no_more_ends_the_service(broker: Broker, settings: Settings) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("forced")

    async with service._consumer(settings, asyncio.Event()) as consumer, asyncio.timeout(DEADLINE_S):
        consumer._fetcher._get_actions_per_node = fails
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(Fatal, match=r"the client fetches no more: KafkaError: .*Unexpected error"):
            await watch.stay_in_group(consumer)


async def test_a_client_whose_heartbeats_have_ended_joins_anew(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_INTERVAL_S", 0.1)

    async def fails() -> bool:
        raise UnknownError("forced")

    async with service._consumer(settings, asyncio.Event()) as consumer:
        consumer.subscribe([broker.topics.requests])
        coordinator = consumer._coordinator
        staying = asyncio.create_task(watch.stay_in_group(consumer))
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


async def test_a_group_that_refuses_us_for_good_ends_the_service(broker: Broker, settings: Settings) -> None:
    strangers = AIOKafkaConsumer(
        broker.topics.requests,
        bootstrap_servers=broker.cluster.bootstrap_servers,
        group_id=broker.group_id,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    async with strangers, service._consumer(settings, asyncio.Event()) as consumer, asyncio.timeout(DEADLINE_S):
        consumer.subscribe([broker.topics.requests])
        with pytest.raises(Fatal, match=r"the group does not take us: .*InconsistentGroupProtocol"):
            await watch.stay_in_group(consumer)
