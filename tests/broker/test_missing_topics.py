"""Missing topics are named and not created, on a broker that creates every topic that a client asks for by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from broker import Cluster, running_broker
from consumer.observe.health import ServiceStatus
from consumer.settings import Settings
from producer.errors import Exit
from tests.harness.producer_command import run
from tests.harness.service import fatal_end
from tests.harness.topics import fresh_topics
from tests.harness.waiting import eventually
from transport.cluster_monitor import monitor_cluster
from transport.group.consumers import open_group_consumer
from transport.sink.connections import SinkConnections


@pytest.fixture(scope="module")
def creating_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """A broker that creates missing topics, as Kafka does by default. It starts once for all tests of this file."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(properties={"auto.create.topics.enable": "true"}) as own:
        yield own


@pytest.mark.parametrize("arguments", [["send", __file__], ["send", __file__, "--wait"], ["watch"]])
async def test_a_missing_topic_is_one_error_line_and_is_not_created(
    creating_cluster: Cluster, arguments: list[str]
) -> None:
    async with fresh_topics(creating_cluster, partitions=1) as broker:
        missing = broker.topics.requests if arguments == ["send", __file__] else broker.topics.predictions
        await broker.admin.delete_topics([missing])
        await eventually(broker.admin.list_topics, lambda names: missing not in names)
        result = await run(broker, *arguments)
        assert (result.exit_code, result.out) == (Exit.KAFKA, "")
        assert result.err.startswith(f"digit-producer: there is no topic '{missing}' (DIGITS_TOPICS__")
        assert len(result.err.splitlines()) == 1
        assert missing not in await broker.admin.list_topics()


async def test_missing_topics_are_named_and_not_created(creating_cluster: Cluster) -> None:
    async with fresh_topics(creating_cluster) as broker:
        missing = {"DIGITS_TOPICS__REQUESTS": "nowhere", "DIGITS_TOPICS__DEAD_LETTER": "nowhere-else"}
        why = await fatal_end(broker, missing)
        servers = creating_cluster.bootstrap_servers
        assert why == f"no topic nowhere, nowhere-else on {servers}; create it first: the service creates no topics"
        topics = await broker.admin.list_topics()
        assert broker.topics.predictions in topics
        assert "nowhere" not in topics
        assert "nowhere-else" not in topics


async def test_deleted_topics_are_not_created_again_by_a_metadata_request(
    creating_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        fresh_topics(creating_cluster, partitions=1) as others,
        fresh_topics(creating_cluster, partitions=1) as broker,
    ):
        for name, value in broker.environment.items():
            monkeypatch.setenv(name, value)
        settings, status = Settings(), ServiceStatus()
        async with (
            open_group_consumer(settings) as consumer,
            SinkConnections.opened(settings) as producing,
        ):
            clients = [consumer._client, producing._client]
            for client in clients:
                assert await client.force_metadata_update()
                assert client.cluster.topics() == set(broker.topics.names), "all topics were asked for"
            await broker.admin.delete_topics(list(broker.topics.names))
            looking = asyncio.create_task(monitor_cluster(consumer, settings.topics, status.report_cluster))
            try:
                await eventually(lambda: status.cluster_problem.startswith("topics are missing: "))
            finally:
                looking.cancel()
                await asyncio.wait([looking])
            for client in clients * 3:
                assert await client.force_metadata_update()
                assert client.cluster.topics() == set()
            left = set(await broker.admin.list_topics())
    assert left.isdisjoint(broker.topics.names)
    assert left >= set(others.topics.names)
