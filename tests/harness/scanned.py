"""What the worker's scan finds in fetched bytes, as the records that the service's parser makes of them."""

from __future__ import annotations

from collections.abc import Iterator

from aiokafka import ConsumerRecord, TopicPartition

from consumer.workers.batches.rows import parse_headers
from consumer.workers.batches.scanning import scan
from transport.batches.layout import BatchHeader
from transport.batches.splitting import split_batches
from transport.record_batch import Unreadable

LIMIT_BYTES = 64 * 1024 * 1024


def scanned(
    partition: TopicPartition, fetched: bytes, *, fetched_from: int, limit_bytes: int = LIMIT_BYTES
) -> list[ConsumerRecord | Unreadable]:
    """Split and scan as the service does."""
    return [
        record
        for batch in split_batches(partition, fetched, fetched_from=fetched_from, aborted=None).batches
        for record in scanned_batch(partition, batch.data, limit_bytes=limit_bytes)
        if record.offset >= fetched_from
    ]


def scanned_batch(
    partition: TopicPartition, batch: bytes | memoryview, *, limit_bytes: int = LIMIT_BYTES
) -> Iterator[ConsumerRecord | Unreadable]:
    """Scan one batch."""
    timestamp_type = int(BatchHeader.parse(batch).has_log_append_time)
    for block in scan(batch, limit_bytes=limit_bytes):
        for row in block.rows():
            if why := block.reason(row):
                yield Unreadable(partition, row.offset, why)
                continue
            headers = parse_headers(block.headers(row), row.header_count)
            yield ConsumerRecord(
                partition.topic,
                partition.partition,
                row.offset,
                row.timestamp_ms,
                timestamp_type,
                block.key(row),
                block.value(row),
                None,
                row.key_length,
                row.value_length,
                tuple([(name.decode(), value) for name, value in headers]),
            )
