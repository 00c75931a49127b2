"""Committed offsets are found although another broker has become the group's coordinator."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from broker import Cluster
from consumer.settings import Settings
from producer.display import print_message
from tests.harness.played_service import publish
from tests.harness.topics import fresh_topics
from tests.harness.waiting import DEADLINE_S
from transport.admin.cluster import open_cluster
from transport.group.consumers import open_group_consumer
from transport.group.offsets import committed_offset
from transport.settings.kafka import KafkaSettings

pytestmark = pytest.mark.slow  # three brokers start for it


async def test_the_service_finds_the_committed_offset_after_the_coordinator_moved(
    three_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_topics(three_nodes, partitions=1) as broker:
        await broker.send([b"x"])
        await publish(broker, [], committed={0: 1})
        for name, value in broker.environment.items():
            monkeypatch.setenv(name, value)
        async with (
            asyncio.timeout(DEADLINE_S),
            open_group_consumer(Settings()) as consumer,
        ):
            coordinator = consumer._coordinator
            await coordinator.ensure_coordinator_known()
            right = coordinator.coordinator_id
            coordinator.coordinator_id = right % 3 + 1  # as if this one had been the coordinator until now
            tp = TopicPartition(broker.topics.requests, 0)
            assert await consumer.committed(tp) is None, "the client reports the error now: use its own method again"
            assert coordinator.coordinator_id != right
            assert (await committed_offset(consumer, tp)).offset == 1
            assert coordinator.coordinator_id == right


async def test_the_producer_finds_committed_offsets_after_the_coordinator_moved(
    three_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_topics(three_nodes, partitions=1) as broker:
        await broker.send([b"x"])
        await publish(broker, [], committed={0: 1})
        kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
        async with open_cluster(kafka, print_message) as cluster:
            find = cluster._admin.find_coordinator
            asked: list[int] = []

            async def find_late(group: str) -> int:
                """Answer as a broker would that has not heard of the move yet."""
                right = int(await find(group))
                asked.append(right % 3 + 1 if len(asked) < 2 else right)
                return asked[-1]

            monkeypatch.setattr(cluster._admin, "find_coordinator", find_late)
            committed = await cluster.committed_offsets(broker.group_id)
    assert committed == {TopicPartition(broker.topics.requests, 0): 1}
    assert len(asked) == 3
    assert asked[0] != asked[2]
