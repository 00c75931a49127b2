"""What a scan finds: a row of positions for each record, and the objects that are made from it on demand."""

from __future__ import annotations

from itertools import starmap
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

BLOCK_RECORDS: Final = 4_096
"""The most records of a block."""

READABLE: Final = 0
"""The status of a record that could be parsed; all others are reasons why not."""
CUT_SHORT, LONG_NUMBER, LONG_PART, WRONG_LENGTH, NO_NAME, NO_END = 1, 2, 3, 4, 5, 6
WRONG_POSITION, NOT_UTF8, NOT_INFLATED = 7, 8, 9
IN_BATCH: Final = 16
"""Added to a reason that concerns this record and all after it, since it is not known where they begin."""

_SENTENCES: Final = {
    CUT_SHORT: "it is cut short",
    LONG_NUMBER: "a number has too many bytes",
    LONG_PART: "a part of it ends after its own end",
    WRONG_LENGTH: "its length is not that of what it holds",
    NO_NAME: "a header has no name",
    NO_END: "a record does not end in it",
}

STATUS, OFFSET, TIMESTAMP, START, END, KEY_START, KEY_LENGTH, VALUE_START, VALUE_LENGTH = 0, 1, 2, 3, 4, 5, 6, 7, 8
HEADER_COUNT, HEADERS_START, HEADERS_END = 9, 10, 11
COLUMNS: Final = 12
"""Columns of a block's table: the fields of `Row`, in their order."""

MORE: Final = 0x80
"""The bit of a byte of a number that means that another byte follows."""
LOW_INT: Final = 0xFFFF_FFFF
"""The bits of a number of 32 bits."""


class Row(msgspec.Struct, gc=False):
    """Where the parts of a record are, in bytes from the start of the block's `data`.

    A record with another status than `READABLE` has only a status and an offset; its key and value are null.
    """

    status: int
    offset: int
    timestamp_ms: int
    start: int
    """Where the record begins, after its length; the wrong position, if the status is `WRONG_POSITION`."""
    end: int
    """Where the record ends; the right position, if the status is `WRONG_POSITION`."""
    key_start: int
    key_length: int
    """-1: the key is null."""
    value_start: int
    value_length: int
    """-1: the value is null."""
    header_count: int
    """At most `MAX_HEADERS`; more are left out."""
    headers_start: int
    headers_end: int
    """The end of the headers that are counted; both are those of the name, if the status is `NOT_UTF8`."""


class Block(NamedTuple):
    """Consecutive records of a batch."""

    data: memoryview
    """The inflated records of the whole batch."""
    table: NDArray[np.int64]
    """(n, 12) the fields of `Row`; n is at most `BLOCK_RECORDS`."""
    not_inflated: str = ""
    """The reason for `NOT_INFLATED`."""

    def rows(self) -> list[Row]:
        """Return the table as Python's numbers, which are faster to work with one by one."""
        return list(starmap(Row, self.table.tolist()))

    def key(self, row: Row) -> bytes | None:
        """Return a copy of a record's key."""
        return None if row.key_length < 0 else bytes(self.data[row.key_start : row.key_start + row.key_length])

    def value(self, row: Row) -> bytes | None:
        """Return a copy of a record's value."""
        return None if row.value_length < 0 else bytes(self.data[row.value_start : row.value_start + row.value_length])

    def headers(self, row: Row) -> bytes:
        """Return a copy of a record's headers, for `parse_headers`; empty if it has none."""
        return b"" if row.header_count == 0 else bytes(self.data[row.headers_start : row.headers_end])

    def reason(self, row: Row) -> str | None:
        """Return why a record is not readable; None if it is."""
        if row.status == READABLE:
            return None
        if row.status == NOT_INFLATED:
            return self.not_inflated
        if row.status == WRONG_POSITION:
            return f"it claims position {row.start} in its batch, and the next one is {row.end}"
        if row.status == NOT_UTF8:
            return _decoding_error(self.data[row.headers_start : row.headers_end])
        if row.status >= IN_BATCH:
            return f"its batch is malformed: {_SENTENCES[row.status - IN_BATCH]}"
        return _SENTENCES[row.status]


def _decoding_error(name: memoryview) -> str:
    try:
        str(name, "utf-8")
    except UnicodeDecodeError as error:
        return str(error)
    raise AssertionError("the scan has refused a name that is UTF-8")


def parse_headers(data: bytes, count: int) -> list[tuple[bytes, bytes | None]]:
    """Return names and values of headers, whose names the scan has found to be UTF-8.

    Parameters
    ----------
    data, count
        `Block.headers`, and `Row.header_count`.
    """
    headers: list[tuple[bytes, bytes | None]] = []
    at = 0
    for _ in range(count):
        # Most lengths are one byte, and a call would cost more than all that is done here.
        byte = data[at]
        if byte < MORE:
            length_bytes, at = byte >> 1, at + 1
        else:
            length_bytes, at = _number(data, at)
        end = at + length_bytes
        name, byte = data[at:end], data[end]
        if byte < MORE and not byte & 1:
            length_bytes, at = byte >> 1, end + 1
        else:
            length_bytes, at = _number(data, end)
        if length_bytes < 0:
            headers.append((name, None))
        else:
            end = at + length_bytes
            headers.append((name, data[at:end]))
            at = end
    return headers


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 32 bits that the scan has read before; return it and where it ends."""
    byte = data[at]
    at += 1
    if byte < MORE:
        return byte >> 1 ^ -(byte & 1), at
    raw, shift = byte - MORE, 7
    while byte >= MORE:
        byte = data[at]
        at += 1
        raw |= (byte & MORE - 1) << shift
        shift += 7
    raw &= LOW_INT
    return raw >> 1 ^ -(raw & 1), at
