"""Parses record batches as untrusted bytes, for readers of topics that anyone may write to.

Brokers check a batch's checksum, the lengths of its records and their number; the sender decides about everything else.
aiokafka's parser raises an error in `getmany` for a header name that is not UTF-8, and for numbers that Kafka's own
parser accepts, and does not advance: one such record would stop its partition forever. It trusts the offsets in the
records, so a sender could make it skip the records of others, and it creates objects for any number of headers. This
parser replaces it. It accepts what Kafka accepts, numbers records by their position in the batch, and returns a record
that it cannot parse as `Unreadable`.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record Batch, Record, Record Header (version 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from transport.batches.layout import MAX_HEADERS

OWN_HEADERS: Final = 24
"""Enough for the headers that dead letters and replays add to a request: all of them must be parsed again."""
_MORE: Final = 0x80
"""The bit of a byte of a number that means that another byte follows."""
_INT_BITS, _LONG_BITS = 32, 64
Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be parsed; only its partition and offset are known."""

    partition: TopicPartition
    offset: int
    why: str


def install_batch_parser() -> None:
    """Replace the parser of all consumers of this process by the one of this module.

    `getmany` then returns `Unreadable` among its records, and raises an error only for a wrong checksum.
    """
    # The client has no public option for its parser; it is pinned to this minor version.
    fetcher.MemoryRecords = _Batches
    fetcher.PartitionRecords = _PartitionRecords


def batch_bytes(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return an upper bound of the bytes of a batch with one record, to compare with ``max.message.bytes``."""
    size_bytes: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
    return size_bytes


def values_of(batch: bytes) -> list[bytes]:
    """Return the values of the records of one batch; those without one, or that cannot be parsed, are left out."""
    records = _Batch(memoryview(batch), TopicPartition("", 0))
    return [record.value for record in records if isinstance(record, ConsumerRecord) and record.value is not None]


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The fetched records of one partition. The client's own code leaves out aborted transactions."""

    def __init__(self, tp: TopicPartition, records: _Batches, *arguments: Any) -> None:
        records.partition = tp
        super().__init__(tp, records, *arguments)

    def _consumer_record(self, _: TopicPartition, record: ConsumerRecord | Unreadable) -> ConsumerRecord | Unreadable:
        return record


class _Batches(_MemoryRecordsPy):  # type: ignore[misc]  # as above
    """The batches of one fetch, in order."""

    partition: TopicPartition

    def next_batch(self) -> Any:
        data = self._next_slice
        batch = super().next_batch()
        return _Batch(data, self.partition) if isinstance(batch, DefaultRecordBatch) else batch


class _MalformedError(Exception):
    pass


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # as above
    """One batch. The broker has checked its header: first offset, number of records, last position.

    A record that cannot be parsed has the position after the one before it.
    """

    def __init__(self, data: memoryview, partition: TopicPartition) -> None:
        super().__init__(data)
        self._partition = partition
        self._first_offset: int = self.base_offset
        self._first_ms: int = self.max_timestamp if self.timestamp_type else self.first_timestamp
        self._timestamp_type: int = self.timestamp_type
        self._last_headers: tuple[bytearray | None, Headers] = None, ()

    def __iter__(self) -> Iterator[ConsumerRecord | Unreadable]:
        left, place = self._num_records, -1
        # The records of a batch that was sent have the positions 0, 1, 2, …; only compaction leaves gaps.
        gaps = self.last_offset_delta + 1 - left
        try:
            self._maybe_uncompress()
        except Exception as error:  # noqa: BLE001  # a codec may raise any exception for damaged bytes
            yield from self._unreadable(range(left), f"its batch cannot be inflated: {type(error).__name__}")
            return
        data, at = self._buffer, self._pos
        while left:
            try:
                body, at = _bounds(data, at)
            except _MalformedError as error:
                yield from self._unreadable(range(place + 1, place + 1 + left), f"its batch is malformed: {error}")
                return
            left -= 1
            try:
                claimed, record = self._parse(data, body, at, range(place + 1, place + gaps + 2))
            except (_MalformedError, UnicodeDecodeError) as error:
                place += 1
                yield from self._unreadable((place,), str(error))
            else:
                gaps -= claimed - place - 1
                place = claimed
                yield record

    def _unreadable(self, places: Iterable[int], why: str) -> Iterator[Unreadable]:
        for place in places:
            yield Unreadable(self._partition, self._first_offset + place, why)

    def _parse(self, data: bytearray, at: int, end: int, places: range) -> tuple[int, ConsumerRecord]:
        """Parse a record, which may have one of these positions in the batch; return its position and the record."""
        delta_ms, at = _number(data, at + 1, _LONG_BITS)  # the first byte holds the attributes, which are unused
        place, at = _number(data, at, _INT_BITS)
        if place not in places:
            raise _MalformedError(f"it claims position {place} in its batch, and the next one is {places[0]}")
        key, at = _bytes(data, at, end)
        value, at = _bytes(data, at, end)
        # Most records of a batch have the same headers: those of an archive's results, and those of one sender.
        if (block := data[at:end]) != self._last_headers[0]:
            self._last_headers = block, _headers(data, at, end)
        headers = self._last_headers[1]
        record = ConsumerRecord(
            self._partition.topic,
            self._partition.partition,
            self._first_offset + place,
            self._first_ms if self._timestamp_type else _wrapped(self._first_ms + delta_ms),
            self._timestamp_type,
            key,
            value,
            None,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
            headers,
        )
        return place, record


def _bounds(data: bytearray, at: int) -> tuple[int, int]:
    """Return where a record begins, after its length, and where the next record begins."""
    length_bytes, body = _number(data, at, _INT_BITS)
    if not 0 <= length_bytes <= len(data) - body:
        raise _MalformedError("a record does not end in it")
    return body, body + length_bytes


def _headers(data: bytearray, at: int, end: int) -> Headers:
    """Parse up to `MAX_HEADERS` headers of a record, which ends after them."""
    count, at = _number(data, at, _INT_BITS)
    headers = []
    for _ in range(min(count, MAX_HEADERS)):
        name, at = _bytes(data, at, end)
        content, at = _bytes(data, at, end)
        if name is None:
            raise _MalformedError("a header has no name")
        headers.append((name.decode(), content))
    if count < 0 or (at != end and count <= MAX_HEADERS):
        raise _MalformedError("its length is not that of what it holds")
    return tuple(headers)


def _bytes(data: bytearray, at: int, end: int) -> tuple[bytes | None, int]:
    """Read bytes after their length; a negative length means null."""
    length_bytes, at = _number(data, at, _INT_BITS)
    if length_bytes < 0:
        return None, at
    stop = at + length_bytes
    if stop > end:
        raise _MalformedError("a part of it ends after its own end")
    return bytes(data[at:stop]), stop


def _number(data: bytearray, at: int, bits: int) -> tuple[int, int]:
    """Read a number of variable length (zigzag) as Kafka does: excess bits are dropped."""
    try:
        byte = data[at]
        at += 1
        if byte < _MORE:
            return byte >> 1 ^ -(byte & 1), at
        raw, shift = byte - _MORE, 7
        while byte >= _MORE:
            if shift >= bits:
                raise _MalformedError("a number has too many bytes")
            byte = data[at]
            at += 1
            raw |= (byte & _MORE - 1) << shift
            shift += 7
    except IndexError:
        raise _MalformedError("it is cut short") from None
    raw &= (1 << bits) - 1
    return raw >> 1 ^ -(raw & 1), at


def _wrapped(time_ms: int) -> int:
    """Wrap a sum around as a 64-bit integer in Java does."""
    half = 1 << _LONG_BITS - 1
    return time_ms if -half <= time_ms < half else (time_ms + half) % (2 * half) - half
