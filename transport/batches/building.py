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
_JOINED_BYTES: Final = 64 * 1024
"""Values up to this size are copied together with what is around them, which is faster."""
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


def sized(content: bytes | None) -> bytes:
    """Return bytes after their length, as a record holds its key."""
    if content is None:
        return NULL
    size_bytes = len(content)
    return (_SMALL[size_bytes] if size_bytes < _SMALL_NUMBERS else _encoded(size_bytes)) + content


def header_block(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Return headers after their number, as a record holds them."""
    parts = [sized(part) for name, content in headers for part in (name.encode(), content)]
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
        self._built: list[bytes] = []
        self._parts: list[bytes | memoryview] = []
        self._records = 0
        self._batch_bytes = _HEADER.size
        self.size_bytes = 0
        """Bytes of all batches so far, about."""

    def append(self, key: bytes, value: bytes | memoryview | None, headers: bytes) -> None:
        """Add a record, whose key is `sized` and whose headers are a `header_block`."""
        length_bytes = 0 if value is None else len(value)
        size_bytes = _RECORD_BYTES + len(key) + length_bytes + len(headers)
        if self._records and self._batch_bytes + size_bytes > self._limit_bytes:
            self._end_batch()
        self.size_bytes += size_bytes
        self._batch_bytes += size_bytes
        value_length = NULL if value is None else _number(length_bytes)
        if length_bytes <= _JOINED_BYTES:
            body = b"".join((b"\0\0", _number(self._records), key, value_length, value or b"", headers))
            self._parts.append(_number(len(body)))
            self._parts.append(body)
        else:
            head = b"\0\0%b%b%b" % (_number(self._records), key, value_length)
            self._parts += _number(len(head) + length_bytes + len(headers)), head, value or b"", headers
        self._records += 1

    def build(self) -> list[bytes]:
        """Return all batches. The builder must not be used afterwards."""
        if self._records:
            self._end_batch()
        return self._built

    def _end_batch(self) -> None:
        records = b"".join(self._parts)
        header = _HEADER.pack(
            0,
            _HEADER.size - LENGTH_FROM + len(records),
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
        self._built.append(b"%b%b" % (header, records))
        self._parts, self._records, self._batch_bytes = [], 0, _HEADER.size
