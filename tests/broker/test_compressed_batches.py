"""The broker refuses compressed batches that inflate beyond the topic's limit."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from contract.topics import MAX_RECORD_BYTES
from tests.harness.topics import Broker


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
