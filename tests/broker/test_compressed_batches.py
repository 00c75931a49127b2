"""What inflates beyond the topic's limit is refused by the broker; if it does not look, only its records fail."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from contract.topics import MAX_RECORD_BYTES
from tests.harness.images import drawn_digits
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

MIB = 1024 * 1024


async def send_packed(broker: Broker, size_bytes: int) -> int:
    """Send zeros in a batch packed by zstd, past the client's own limit; return how many bytes went over the line."""
    async with AIOKafkaProducer(
        bootstrap_servers=broker.cluster.bootstrap_servers, compression_type="zstd", max_request_size=2**31 - 1
    ) as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=bytes(size_bytes))
        await (await producer.send_batch(batch, broker.topics.requests, partition=0))
        return len(batch._build())


async def test_a_batch_that_inflates_to_more_than_the_topic_takes_is_refused_by_the_broker(broker: Broker) -> None:
    with pytest.raises((MessageSizeTooLargeError, RecordListTooLargeError)):
        await send_packed(broker, 2 * MAX_RECORD_BYTES)
    assert sum((await broker.end_offsets(broker.topics.requests)).values()) == 0


async def test_a_batch_that_inflates_to_the_topics_limit_is_stored_inflated(broker: Broker) -> None:
    await send_packed(broker, MAX_RECORD_BYTES)
    (record,) = await broker.read(broker.topics.requests)
    assert len(record.value) == MAX_RECORD_BYTES


@pytest.mark.parametrize(("size_bytes", "code"), [(256 * MIB, "unreadable-record"), (60 * MIB, "record-too-large")])
async def test_a_bomb_that_the_broker_lets_pass_fails_alone(broker: Broker, size_bytes: int, code: str) -> None:
    kept = {"compression.type": "producer"}
    await broker.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, broker.topics.requests, kept)])
    digit = drawn_digits(1)[0]
    await broker.send([digit], partition=0)
    assert await send_packed(broker, size_bytes) < MIB
    await broker.send([digit], partition=0)
    async with running_service(broker) as service:
        results = await eventually(broker.results, lambda found: len(found) == 3, deadline_s=60)
        assert not await service.metric("digits_worker_restarts_total")
    assert [result.error and result.error.code for result in results] == [None, code, None]
    (letter,) = await broker.read(broker.topics.dead_letter)
    assert letter.value is None
