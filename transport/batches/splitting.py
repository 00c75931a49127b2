"""Cuts the fetched bytes of a partition into record batches, without parsing a record.

cut       each batch from its length; a batch that is cut short at the end is left to the next fetch
check     message format and checksum
leave out transaction markers, batches of aborted transactions, and batches whose records compaction has removed
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from transport.batches.layout import CHECKSUM_FROM, FORMAT, HEADER_BYTES, LENGTH_FROM, MAGIC_AT, BatchHeader
from transport.errors import FatalError

_BEGINNING: Final = struct.Struct(">qi")
"""Base offset and length, which all message formats begin with."""


class UnsupportedFormatError(FatalError):
    """A batch has another message format than `FORMAT`."""


class RawBatch(NamedTuple):
    """A batch whose records are not parsed."""

    header: BatchHeader
    data: memoryview
    """The whole batch with its header. It keeps all fetched bytes in memory; ``bytes(data)`` is a copy of its own."""


class Split(NamedTuple):
    """The batches of a fetch that hold records to read."""

    batches: list[RawBatch]
    """In order. The first one may begin before the offset that was fetched from: skip its records before that."""
    next_offset: int
    """Where the next fetch begins: after all batches, those that were left out included."""


def split_batches(
    partition: TopicPartition, fetched: bytes, *, fetched_from: int, aborted: Iterable[tuple[int, int]] | None
) -> Split:
    """Cut the bytes that a broker returned for a partition into batches; read only what is committed.

    Parameters
    ----------
    partition
        Where the bytes come from, for messages.
    fetched
        Whole batches one after the other; the last one may be cut short.
    fetched_from
        The offset that the request asked for.
    aborted
        The aborted transactions that the broker returned with the bytes: producer id and first offset of each. None
        if there are none.

    Returns
    -------
    Split
        If a batch after the first is damaged or has another format, only the batches before it: the next fetch begins
        at it.

    Raises
    ------
    CorruptRecordException
        The first batch is damaged, in the log or on its way: its checksum is wrong, or it is cut short.
    UnsupportedFormatError
        The first batch has another message format.
    """
    filtered = _AbortedTransactions(aborted or ())
    batches = []
    next_offset = fetched_from
    try:
        for batch in _cut(partition, memoryview(fetched)):
            header = batch.header
            if filtered.is_committed(batch) and header.record_count and header.last_offset >= fetched_from:
                batches.append(batch)
            next_offset = max(next_offset, header.last_offset + 1)
    except (CorruptRecordException, UnsupportedFormatError):
        if next_offset == fetched_from:
            raise
    return Split(batches, next_offset)


class _AbortedTransactions:
    """Knows which producers' transactions are aborted at the batch that is looked at. Batches are asked in order."""

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._coming = deque(sorted(aborted, key=lambda transaction: transaction[1]))
        self._producers: set[int] = set()

    def is_committed(self, batch: RawBatch) -> bool:
        """Return whether a batch is no marker, and belongs to no aborted transaction."""
        header = batch.header
        while self._coming and self._coming[0][1] <= header.base_offset:
            self._producers.add(self._coming.popleft()[0])
        if header.is_control:
            if header.producer_id in self._producers and _is_abort_marker(batch):
                self._producers.remove(header.producer_id)
            return False
        return not (header.is_transactional and header.producer_id in self._producers)


def _is_abort_marker(batch: RawBatch) -> bool:
    """Return whether a control batch ends an aborted transaction; it may also be empty after compaction."""
    if not batch.header.record_count:
        return False
    marker = next(iter(DefaultRecordBatch(batch.data)))
    return bool(ControlRecord.parse(marker.key) == ABORT_MARKER)


def _cut(partition: TopicPartition, fetched: memoryview) -> Iterator[RawBatch]:
    """Cut off and check one batch after the other."""
    at = 0
    while len(fetched) - at >= LENGTH_FROM:
        base_offset, length_bytes = _BEGINNING.unpack_from(fetched, at)
        end = at + LENGTH_FROM + length_bytes
        if end > len(fetched):
            break
        data = fetched[at:end]
        yield RawBatch(_checked(data, f"the batch at offset {base_offset} of {_name(partition)}"), data)
        at = end
    if fetched and not at:
        # Brokers since Kafka 0.10.1 return the first batch whole, whatever its size, and other beginnings not at all.
        raise CorruptRecordException(f"the fetched bytes of {_name(partition)} are less than one batch")


def _checked(data: memoryview, which: str) -> BatchHeader:
    """Return the header of a batch if it is one that we can read."""
    if len(data) <= MAGIC_AT:
        raise CorruptRecordException(f"{which} is shorter than its header")
    if data[MAGIC_AT] != FORMAT:
        raise UnsupportedFormatError(
            f"{which} has message format {data[MAGIC_AT]}, and only format {FORMAT} can be read, that of Kafka 0.11 "
            "and newer: send its records again with a newer client, and move the group's offset past it"
        )
    if len(data) < HEADER_BYTES:
        raise CorruptRecordException(f"{which} is shorter than its header")
    header = BatchHeader.parse(data)
    if calc_crc32c(data[CHECKSUM_FROM:]) != header.checksum:
        raise CorruptRecordException(f"{which} has a wrong checksum")
    if not 0 <= header.record_count <= header.last_offset_delta + 1:
        raise CorruptRecordException(f"{which} has {header.record_count} records for other offsets than those")
    return header


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
