"""A group with offsets never seems to have none."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from broker import Cluster
from producer.display import complain
from tests.harness.answers import publish
from tests.harness.broker import fresh_topics
from transport.admin.cluster import look_around
from transport.settings.kafka import KafkaSettings


async def test_offsets_are_asked_for_again_where_another_broker_has_become_the_groups_coordinator(
    three_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_topics(three_nodes, partitions=1) as broker:
        await broker.send([b"x"])
        await publish(broker, [], committed={0: 1})
        kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
        async with look_around(kafka, complain) as cluster:
            find = cluster._admin.find_coordinator
            asked: list[int] = []

            async def find_late(group: str) -> int:
                """Answer as a broker would that has not heard of the move yet."""
                right = int(await find(group))
                asked.append(right % 3 + 1 if len(asked) < 2 else right)
                return asked[-1]

            monkeypatch.setattr(cluster._admin, "find_coordinator", find_late)
            committed = await cluster.committed(broker.group_id)
    assert committed == {TopicPartition(broker.topics.requests, 0): 1}
    assert len(asked) == 3
    assert asked[0] != asked[2]
