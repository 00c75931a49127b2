"""Finds the parts of all records of a batch in one pass of compiled code.

It accepts and refuses what `transport.record_batch` does, record by record and with the same sentences; a test compares
them. Nothing is copied: a record becomes a row of positions in the inflated bytes. A batch of very many records is
scanned in blocks, so that the rows take a bounded memory.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record, Record Header (version 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from consumer.workers.batches.inflating import InflateError, inflate
from consumer.workers.batches.rows import (
    BLOCK_RECORDS,
    COLUMNS,
    CUT_SHORT,
    END,
    HEADER_COUNT,
    HEADERS_END,
    HEADERS_START,
    IN_BATCH,
    KEY_LENGTH,
    KEY_START,
    LONG_NUMBER,
    LONG_PART,
    LOW_INT,
    MORE,
    NO_END,
    NO_NAME,
    NOT_INFLATED,
    NOT_UTF8,
    OFFSET,
    READABLE,
    START,
    STATUS,
    TIMESTAMP,
    VALUE_LENGTH,
    VALUE_START,
    WRONG_LENGTH,
    WRONG_POSITION,
    Block,
)
from consumer.workers.batches.utf8 import is_utf8
from engine.compiled import compiled
from transport.batches.layout import HEADER_BYTES, MAX_HEADERS, BatchHeader

_AT, _PLACE, _GAPS, _BASE_OFFSET, _BASE_MS, _HAS_ONE_TIME = 0, 1, 2, 3, 4, 5
"""What the scan of a block has to know of the blocks before it: where they end, the position of the last record in the
batch, and how many positions of removed records may still come. And of the batch: the offset of position 0, the
timestamp that records differ from, and 1 if that is the timestamp of all, else 0."""
_INT_BITS, _LONG_BITS = cast("int", np.int64(32)), cast("int", np.int64(64))
"""Literals as arguments would make numba compile a function for each of them."""
_UNSIGNED: Final = 0x7FFF_FFFF_FFFF_FFFF
"""The bits that remain of a number of 64 bits after a shift by one."""


def scan(batch: bytes | bytearray | memoryview, *, limit_bytes: int) -> Iterator[Block]:
    """Find the parts of all records of a batch.

    Parameters
    ----------
    batch
        The whole batch. Its header is trusted: `split_batches` has compared the checksum, and the broker has checked
        the number of records and their offsets.
    limit_bytes
        As for `inflate`.

    Yields
    ------
    Block
        Consecutive records; together all records of the batch in order. Usually there is one block.

    Raises
    ------
    MemoryError
        As `inflate` does.
    """
    header = BatchHeader.parse(batch)
    left = header.record_count
    try:
        data = inflate(memoryview(batch)[HEADER_BYTES:], header.codec, limit_bytes=limit_bytes)
    except InflateError as error:
        yield from unread(header, str(error))
        return
    content = np.frombuffer(data, np.uint8)  # not writable, as all others: another kind would compile again
    one_time = header.has_log_append_time
    base_ms = header.max_timestamp_ms if one_time else header.first_timestamp_ms
    gaps = header.last_offset_delta + 1 - left
    state = np.array([0, -1, gaps, header.base_offset, base_ms, one_time], np.int64)
    while left:
        table = np.zeros((min(left, BLOCK_RECORDS), COLUMNS), np.int64)
        _scan(content, table, state)
        left -= len(table)
        yield Block(data, table)


def warm_up() -> None:
    """Compile the scan, or read its machine code from the cache."""
    _scan(np.frombuffer(b"", np.uint8), np.zeros((1, COLUMNS), np.int64), np.zeros(6, np.int64))


def unread(header: BatchHeader, why: str) -> Iterator[Block]:
    """Yield the records of a batch that is not inflated; nothing is known of them but their offsets."""
    for first in range(0, header.record_count, BLOCK_RECORDS):
        table = np.zeros((min(header.record_count - first, BLOCK_RECORDS), COLUMNS), np.int64)
        table[:, STATUS] = NOT_INFLATED
        table[:, OFFSET] = np.arange(first, first + len(table)) + header.base_offset
        table[:, KEY_LENGTH] = table[:, VALUE_LENGTH] = -1
        yield Block(memoryview(b""), table, why)


@compiled
def _scan(data: NDArray[np.uint8], table: NDArray[np.int64], state: NDArray[np.int64]) -> None:
    """Fill the rows of a block, and advance the state. Sums of timestamps wrap around as in Java.

    A record that cannot be parsed has the position after the one before it. If its end is not known, `_AT` becomes
    the reason, below 0, why the rest of the batch cannot be read.
    """
    at, place, gaps = state[_AT], state[_PLACE], state[_GAPS]
    base_ms, has_one_time = state[_BASE_MS], state[_HAS_ONE_TIME]
    for index in range(len(table)):
        row = table[index]
        if at >= 0:
            length_bytes, start = _number(data, at, _INT_BITS)
            if start < 0:
                at = start - IN_BATCH
            elif length_bytes < 0 or length_bytes > len(data) - start:
                at = -NO_END - IN_BATCH
            else:
                at = start + length_bytes
                row[START], row[END] = start, at
                row[STATUS] = _scan_record(data, row, place + 1, place + 1 + gaps)
        if at < 0:
            row[STATUS] = -at
        if row[STATUS] == READABLE:
            gaps -= row[OFFSET] - place - 1
            place = row[OFFSET]
            row[TIMESTAMP] = base_ms if has_one_time else base_ms + row[TIMESTAMP]
        else:
            place += 1
            row[KEY_LENGTH] = row[VALUE_LENGTH] = -1
            row[HEADER_COUNT] = 0
        row[OFFSET] = state[_BASE_OFFSET] + place
    state[_AT], state[_PLACE], state[_GAPS] = at, place, gaps


@compiled
def _scan_record(data: NDArray[np.uint8], row: NDArray[np.int64], first_place: int, last_place: int) -> int:
    """Fill the row of a record, whose start and end are in it, and return the status.

    Its position in the batch is one of `first_place` to `last_place`.
    """
    end = row[END]
    row[TIMESTAMP], at = _number(data, row[START] + 1, _LONG_BITS)  # the first byte has the attributes, all unused
    place, at = _number(data, at, _INT_BITS)
    if at < 0:
        return -at
    if place < first_place or place > last_place:
        row[START], row[END] = place, first_place
        return WRONG_POSITION
    row[OFFSET] = place
    row[KEY_START], row[KEY_LENGTH], at = _part(data, at, end)
    row[VALUE_START], row[VALUE_LENGTH], at = _part(data, at, end)
    count, at = _number(data, at, _INT_BITS)
    row[HEADERS_START] = at
    row[HEADER_COUNT] = 0 if count < 0 else min(count, MAX_HEADERS)
    at = _skip_headers(data, at, end, row)
    if at < 0:
        return -at
    row[HEADERS_END] = at
    return WRONG_LENGTH if count < 0 or (at != end and count <= MAX_HEADERS) else READABLE


@compiled
def _skip_headers(data: NDArray[np.uint8], at: int, end: int, row: NDArray[np.int64]) -> int:
    """Return where the counted headers end; below 0 the reason why one cannot be read."""
    for _ in range(row[HEADER_COUNT]):
        name, length_bytes, at = _part(data, at, end)
        _, _, at = _part(data, at, end)
        if at < 0:
            return at
        if length_bytes < 0:
            return -NO_NAME
        if not is_utf8(data, name, name + length_bytes):
            row[HEADERS_START], row[HEADERS_END] = name, name + length_bytes
            return -NOT_UTF8
    return at


@compiled
def _part(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, int]:
    """Return start and length of bytes that have their length before them, and their end; length -1 means null."""
    length_bytes, start = _number(data, at, _INT_BITS)
    if start < 0 or length_bytes < 0:
        return start, -1, start
    if start + length_bytes > end:
        return start, -1, -LONG_PART
    return start, length_bytes, start + length_bytes


@compiled
def _number(data: NDArray[np.uint8], at: int, bits: int) -> tuple[int, int]:
    """Read a number of variable length (zigzag) as Kafka does: excess bits are dropped. Return it and its end.

    If it cannot be read, its end is the reason, below 0. An `at` below 0 is the reason of an earlier part, and is
    returned, so that a caller need not look at the end of each part.
    """
    if at < 0:
        return 0, at
    raw, shift = 0, 0
    while True:
        if at >= len(data):
            return 0, -CUT_SHORT
        byte = int(data[at])
        at += 1
        raw |= (byte & MORE - 1) << shift
        shift += 7
        if byte < MORE:
            break
        if shift >= bits:
            return 0, -LONG_NUMBER
    if bits == _INT_BITS:
        raw &= LOW_INT
    return (raw >> 1 & _UNSIGNED) ^ -(raw & 1), at
