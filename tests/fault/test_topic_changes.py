"""Topics are deleted, created again or given partitions while the service works on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import NewPartitions

from broker import Cluster
from tests.harness.images import drawn_digits
from tests.harness.outage import watched
from tests.harness.producer_command import audited
from tests.harness.service import running_service
from tests.harness.topics import Broker, fresh_topics, position
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def small(cluster: Cluster) -> AsyncIterator[Broker]:
    """A test's own three topics with 2 partitions each."""
    async with fresh_topics(cluster, partitions=2) as broker:
        yield broker


async def deleted(broker: Broker, topic: str) -> None:
    await broker.admin.delete_topics([topic])
    await eventually(broker.admin.list_topics, lambda names: topic not in names)


async def created(broker: Broker, topic: str) -> None:
    await broker.cluster.create_topics({topic: broker.topics.creation_configs()[topic]}, partitions=broker.partitions)


async def grown(broker: Broker, topic: str, partitions: int) -> None:
    await broker.admin.create_partitions({topic: NewPartitions(partitions)})


async def test_a_recreated_requests_topic_is_answered_from_its_start(small: Broker) -> None:
    async with running_service(small) as service:
        old = await small.send(drawn_digits(20))
        await small.everything_answered()
        async with watched(service) as watch:
            await deleted(small, small.topics.requests)
            gone = (503, f"not ready: topics are missing: {small.topics.requests}\n")
            await eventually(lambda: service.get("/readyz"), lambda answer: answer == gone)
            await created(small, small.topics.requests)
            await eventually(service.is_ready)
            watch.was_calm()
        sent = await small.send_in_transaction(drawn_digits(6))  # by a producer that has not known the old topic
        await small.everything_answered()
    assert sorted(position(result) for result in await small.results()) == sorted(old + sent)


async def test_results_wait_until_a_deleted_predictions_topic_is_recreated(small: Broker) -> None:
    async with running_service(small) as service:
        await small.send(drawn_digits(4))
        await small.everything_answered()
        async with watched(service) as watch:
            await deleted(small, small.topics.predictions)
            sent = await small.send(drawn_digits(20))
            gone = f"topics are missing: {small.topics.predictions}"
            await eventually(lambda: service.get("/readyz"), lambda answer: gone in answer[1])
            await eventually(lambda: "partition not writable" in service.log)
            await created(small, small.topics.predictions)
            await small.everything_answered()
            await eventually(service.is_ready)
            watch.was_calm()
    assert [position(result) for result in await small.results()] == sorted(sent)


async def test_partitions_added_while_it_runs_are_answered(small: Broker) -> None:
    async with running_service(small) as service:
        await small.send(drawn_digits(20))
        for topic in (small.topics.predictions, small.topics.dead_letter, small.topics.requests):
            await grown(small, topic, 4)
        small.partitions = 4

        async def lanes() -> int:
            return len((await service.health())["partitions"])

        await eventually(lanes, lambda count: count == 4)
        await small.send_in_transaction(drawn_digits(40))  # by a producer that has heard of the new partitions
        await small.everything_answered()
        records = await small.read(small.topics.predictions)
        assert {record.partition for record in records} == {0, 1, 2, 3}
        await audited(small, 60)
