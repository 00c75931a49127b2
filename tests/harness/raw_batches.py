"""Sends records that a producer refuses to send: it writes each field of a record batch itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.harness.topics import Position

UNREADABLE: Final = "UNREADABLE"
"""A header name that becomes bytes that are not UTF-8."""
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_FROM, _CRC_FROM = 12, 21
"""From where on a batch's length is counted, and its checksum taken."""


class Raw(NamedTuple):
    """A record as it is written to the log."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    """None is the time of the batch."""
    place: int | None = None
    """What it claims to be its place in its batch; None is the true one."""
    attributes: int = 0
    wide: bool = False
    """True if each length has bits beyond those that count, which Kafka drops."""


def batch_bytes(records: Sequence[Raw], *, first_offset: int = 0, time_ms: int = 0) -> bytes:
    """Write a batch as a broker stores it."""
    return _batch(records, (first_offset, 0, 0, 2, 0, 0, len(records) - 1, time_ms, time_ms, -1, -1, -1, len(records)))


async def send_batch(
    producer: AIOKafkaProducer, topic: str, records: Sequence[Raw], *, partition: int
) -> list[Position]:
    """Send records in one batch, and return where they lie."""
    batch = producer.create_batch()
    for record in records:
        appended = batch.append(timestamp=record.timestamp_ms, key=None, value=b"", headers=[])
        assert appended, "the batch is full"
    build = batch._build
    batch._build = lambda: _batch(records, _HEAD.unpack_from(build()))
    sent = await (await producer.send_batch(batch, topic, partition=partition))
    return [Position(sent.partition, sent.offset + index) for index in range(len(records))]


def _batch(records: Iterable[Raw], head: Sequence[int]) -> bytes:
    first_offset, _, epoch, magic, _, *rest = head
    time_ms = rest[2]
    body = b"".join(_record(record, place, time_ms) for place, record in enumerate(records))
    length = _HEAD.size - _LENGTH_FROM + len(body)
    summed = _HEAD.pack(first_offset, length, epoch, magic, 0, *rest)[_CRC_FROM:] + body
    return _HEAD.pack(first_offset, length, epoch, magic, calc_crc32c(summed), *rest)[:_CRC_FROM] + summed


def _record(record: Raw, place: int, time_ms: int) -> bytes:
    delta_ms = 0 if record.timestamp_ms is None else record.timestamp_ms - time_ms
    parts = [
        bytes([record.attributes]) + _number(delta_ms) + _number(place if record.place is None else record.place),
        _sized(record.key, record.wide) + _sized(record.value, record.wide) + _number(len(record.headers), record.wide),
    ]
    for name, content in record.headers:
        encoded = b"\xff" * len(name) if name == UNREADABLE else name.encode()
        parts.append(_sized(encoded, record.wide) + _sized(content, record.wide))
    whole = b"".join(parts)
    return _number(len(whole), record.wide) + whole


def _sized(data: bytes | None, wide: bool) -> bytes:  # noqa: FBT001  # passed on from one place
    return _number(-1 if data is None else len(data), wide) + (data or b"")


def _number(value: int, wide: bool = False) -> bytes:  # noqa: FBT001, FBT002  # as above
    """Write a number in as few bytes as it takes, or as five of which the last has bits that do not count."""
    rest = (value << 1) ^ (value >> 63)
    if wide:
        rest |= 1 << 34
    written = bytearray()
    while rest > 0x7F:  # seven bits a byte
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)
