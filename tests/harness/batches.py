"""Sends records that a producer refuses to send: record batches are built here, one field after the other."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.harness.broker import Position

UNREADABLE: Final = "UNREADABLE"
"""A header name that becomes bytes that are not UTF-8."""
_CRC_AT: Final = 17
_CRC_FROM: Final = 21
"""Where a record batch holds its checksum, and from where on it is taken."""


class Raw(NamedTuple):
    """A record as it is to lie in the log."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None


async def send_batch(
    producer: AIOKafkaProducer, topic: str, records: Sequence[Raw], *, partition: int
) -> list[Position]:
    """Send records in one batch, and return where they lie."""
    batch = producer.create_batch()
    for record in records:
        appended = batch.append(
            timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=list(record.headers)
        )
        assert appended, "the batch is full"
    build = batch._build

    def mangled() -> bytes:
        built: bytes = build().replace(UNREADABLE.encode(), b"\xff" * len(UNREADABLE))
        return built[:_CRC_AT] + struct.pack(">I", calc_crc32c(built[_CRC_FROM:])) + built[_CRC_FROM:]

    batch._build = mangled
    sent = await (await producer.send_batch(batch, topic, partition=partition))
    return [Position(sent.partition, sent.offset + index) for index in range(len(records))]
