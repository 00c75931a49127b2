"""The header of a record batch. It does not import the Kafka client, so that workers can use it.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record Batch (version 2).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

MAX_HEADERS: Final = 1_024
"""The headers of a record that are parsed; the rest is left out. Two bytes of a header become an object of 100."""
FORMAT: Final = 2
"""The version of the format (`magic`) that this package reads; older ones have another layout."""
NO_CODEC, GZIP, SNAPPY, LZ4, ZSTD = 0, 1, 2, 3, 4
"""Values of `BatchHeader.codec`."""

_LAYOUT: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES: Final = _LAYOUT.size
"""The records begin after these bytes."""
LENGTH_FROM: Final = 12
"""A batch's length counts from here on; the field itself is before it."""
MAGIC_AT: Final = 16
CHECKSUM_FROM: Final = 21
"""The checksum is of the bytes from here on."""

_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
"""Bits of the attributes."""


class BatchHeader(NamedTuple):
    """The fields before the records, in their order."""

    base_offset: int
    length_bytes: int
    leader_epoch: int
    magic: int
    checksum: int
    attributes: int
    last_offset_delta: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @classmethod
    def parse(cls, batch: bytes | bytearray | memoryview) -> BatchHeader:
        """Parse the first `HEADER_BYTES` of a batch; they are not checked."""
        return cls(*_LAYOUT.unpack_from(batch))

    @property
    def last_offset(self) -> int:
        """The offset of the last record that was sent in the batch; compaction may have removed it."""
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        """How the records are compressed: `NO_CODEC`, `GZIP`, …; other values are unknown."""
        return self.attributes & _CODEC

    @property
    def has_log_append_time(self) -> bool:
        """True if the broker's time, `max_timestamp_ms`, is the timestamp of all records."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def is_transactional(self) -> bool:
        """True if the batch belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """True if the batch holds the marker of a transaction's end; only brokers write those."""
        return bool(self.attributes & _CONTROL)
