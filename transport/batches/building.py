"""Writes records as batches of a transaction. Only who publishes a batch, and its checksum, are filled in later.

It does not import the Kafka client, so that workers can use it. The client's own builder writes the same bytes; a test
compares them.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record Batch, Record, Record Header (version 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from transport.batches.layout import FORMAT, LENGTH_FROM

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_TRANSACTIONAL: Final = 0x10
_NO_EPOCH: Final = -1
_NO_PRODUCER: Final = (-1, -1, -1)
_RECORD_BYTES: Final = 1 + 1 + 5 + 5 + 5
"""Attributes, time, position, and the lengths of record and value take at most these bytes."""
_MORE: Final = 0x80


def _encoded(value: int) -> bytes:
    """Write a number of variable length (zigzag)."""
    rest = value << 1 ^ value >> 63
    written = bytearray()
    while rest >= _MORE:
        written.append(rest & _MORE - 1 | _MORE)
        rest >>= 7
    written.append(rest)
    return bytes(written)


_SMALL_NUMBERS: Final = 4_096
_SMALL: Final = tuple(_encoded(value) for value in range(_SMALL_NUMBERS))
"""Encoded once: nearly all lengths and positions are among them."""


def _number(value: int) -> bytes:
    return _SMALL[value] if 0 <= value < _SMALL_NUMBERS else _encoded(value)


NULL: Final = _number(-1)
NO_HEADERS: Final = _number(0)
_BEGINNING: Final = b"\0\0"
"""A record has no attributes, and the time of its batch."""
_BEGINNINGS: Final = tuple(_BEGINNING + position for position in _SMALL)


def sized(content: bytes | None) -> bytes:
    """Return bytes after their length, as a record holds its key."""
    return NULL if content is None else _number(len(content)) + content


def header_block(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Return headers after their number, as a record holds them."""
    return joined_headers([sized(part) for name, content in headers for part in (name.encode(), content)])


def joined_headers(parts: list[bytes]) -> bytes:
    """Return the `header_block` of headers whose names and values are `sized`, one after the other."""
    return _number(len(parts) // 2) + b"".join(parts)


class BatchBuilder:
    """Batches of up to a number of bytes; a larger record has a batch of its own.

    Parameters
    ----------
    limit_bytes
        Of a batch with more than one record.
    time_ms
        The timestamp of all records, in ms since 1970.
    """

    def __init__(self, limit_bytes: int, time_ms: int) -> None:
        self._limit_bytes = limit_bytes
        self._time_ms = time_ms
        self._built: list[bytearray] = []
        self._open = bytearray(_HEADER.size)
        self._records = 0
        self.size_bytes = 0
        """Bytes of all batches so far, about."""

    def append(self, key: bytes, value: bytes | bytearray | memoryview | None, headers: bytes) -> None:
        """Add a record, whose key is `sized` and whose headers are a `header_block`."""
        value_bytes = 0 if value is None else len(value)
        size_bytes = _RECORD_BYTES + len(key) + value_bytes + len(headers)
        if self._records and len(self._open) + size_bytes > self._limit_bytes:
            self._end_batch()
        self.size_bytes += size_bytes
        place = self._records
        # Most numbers are small, and a call would cost more than all that is done here.
        beginning = _BEGINNINGS[place] if place < _SMALL_NUMBERS else _BEGINNING + _encoded(place)
        if value is None:
            value, value_length = b"", NULL
        else:
            value_length = _SMALL[value_bytes] if value_bytes < _SMALL_NUMBERS else _encoded(value_bytes)
        length = len(beginning) + len(key) + len(value_length) + value_bytes + len(headers)
        batch = self._open
        batch += _SMALL[length] if length < _SMALL_NUMBERS else _encoded(length)
        batch += b"".join((beginning, key, value_length))
        batch += value
        batch += headers
        self._records = place + 1

    def build(self) -> list[bytearray]:
        """Return all batches. The builder must not be used afterwards."""
        if self._records:
            self._end_batch()
        return self._built

    def _end_batch(self) -> None:
        _HEADER.pack_into(
            self._open,
            0,
            0,
            len(self._open) - LENGTH_FROM,
            _NO_EPOCH,
            FORMAT,
            0,
            _TRANSACTIONAL,
            self._records - 1,
            self._time_ms,
            self._time_ms,
            *_NO_PRODUCER,
            self._records,
        )
        self._built.append(self._open)
        self._open, self._records = bytearray(_HEADER.size), 0
