"""What the lanes ask the group, while its coordinator moves."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from broker import Cluster
from consumer.settings import Settings
from tests.harness.answers import publish
from tests.harness.broker import fresh_topics
from tests.harness.waiting import DEADLINE_S
from transport.group_clients import opened_member
from transport.membership import committed_offset


async def test_a_partition_is_not_begun_anew_when_another_broker_has_become_the_groups_coordinator(
    three_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_topics(three_nodes, partitions=1) as broker:
        await broker.send([b"x"])
        await publish(broker, [], committed={0: 1})
        for name, value in broker.environment.items():
            monkeypatch.setenv(name, value)
        async with (
            asyncio.timeout(DEADLINE_S),
            opened_member(Settings()) as consumer,
        ):
            coordinator = consumer._coordinator
            await coordinator.ensure_coordinator_known()
            right = coordinator.coordinator_id
            coordinator.coordinator_id = right % 3 + 1  # as if this one had been the coordinator until now
            tp = TopicPartition(broker.topics.requests, 0)
            assert await consumer.committed(tp) is None, "the client has learned to tell: use it again"
            assert coordinator.coordinator_id != right
            assert await committed_offset(consumer, tp) == 1
            assert coordinator.coordinator_id == right
