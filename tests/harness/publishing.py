"""What tests of the sink publish, and as whom."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from transport.protocol.offsets import Member
from transport.settings.kafka import GroupKafkaSettings, GroupSettings
from transport.sink.batches import OutgoingBatch


def settings_of(broker: Broker, **kafka: object) -> GroupSettings:
    """Return the settings of a member of a test's group; `kafka` replaces some of the connection's."""
    options = {"bootstrap_servers": broker.cluster.bootstrap_servers, "group_id": broker.group_id}
    return GroupSettings(kafka=GroupKafkaSettings.model_validate(options | kafka), topics=broker.topics)


def batches_of(broker: Broker, *values: bytes) -> dict[TopicPartition, list[OutgoingBatch]]:
    """Make batches with these values for each partition of the predictions."""
    records = [OutgoingRecord(None, value, []) for value in values]
    return {
        TopicPartition(broker.topics.predictions, number): list(build_batches(records))
        for number in range(broker.partitions)
    }


def offsets_of(broker: Broker, offset: int) -> dict[TopicPartition, int]:
    """Give each partition of the requests this offset."""
    return dict.fromkeys(request_partitions(broker), offset)


def request_partitions(broker: Broker) -> list[TopicPartition]:
    """Return the partitions of the requests."""
    return [TopicPartition(broker.topics.requests, number) for number in range(broker.partitions)]


def outsider(broker: Broker) -> Member:
    """Commit as no member, which is accepted while the group has none."""
    return Member(broker.group_id, -1, "")


@contextlib.asynccontextmanager
async def joined(broker: Broker) -> AsyncIterator[AIOKafkaConsumer]:
    """Join the group for the length of an ``async with`` block; it has partitions at the start."""
    consumer = AIOKafkaConsumer(
        broker.topics.requests,
        **broker.cluster.client_options,
        group_id=broker.group_id,
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
    )
    async with consumer:
        await eventually(consumer.assignment)
        yield consumer


def member_of(consumer: AIOKafkaConsumer) -> Member:
    """Return which member of the group it is now."""
    coordinator = consumer._coordinator
    return Member(coordinator.group_id, coordinator.generation, coordinator.member_id)


async def values_by_partition(broker: Broker, topic: str) -> list[list[bytes]]:
    """Read the committed values of each partition of a topic, in order."""
    records = await broker.read(topic)

    def of(number: int) -> Iterable[bytes]:
        return (record.value for record in records if record.partition == number)

    return [list(of(number)) for number in range(broker.partitions)]
