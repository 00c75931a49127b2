"""Record batches that are ready to publish: built once, and stamped with a producer's epoch for each attempt.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record Batch (version 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from contract.topics import RESULTS_BATCH_BYTES

MAGIC: Final = 2
_CRC: Final = struct.Struct(">I")
_CRC_AT: Final = 17
_CHECKED_FROM: Final = 21
"""The checksum covers the batch from its attributes on."""
_PRODUCER: Final = struct.Struct(">qhi")
"""Producer id, epoch, and the number of the first record in the producer's sequence."""
_PRODUCER_AT: Final = 43


class OutgoingRecord(NamedTuple):
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value, for the metrics."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class OutgoingBatch:
    """A record batch of a transaction. Only the fields that name its producer are still to be filled in."""

    data: bytearray
    records: int

    def stamp(self, producer_id: int, epoch: int, sequence: int) -> bytearray:
        """Write who publishes the batch, and its checksum; return its bytes, which the next call changes again."""
        _PRODUCER.pack_into(self.data, _PRODUCER_AT, producer_id, epoch, sequence)
        _CRC.pack_into(self.data, _CRC_AT, calc_crc32c(memoryview(self.data)[_CHECKED_FROM:]))
        return self.data


def build_batches(records: Iterable[OutgoingRecord]) -> Iterator[OutgoingBatch]:
    """Yield batches of up to `RESULTS_BATCH_BYTES`; a larger record has a batch of its own."""
    builder, count = _builder(), 0
    for key, value, headers in records:
        # None: the batch is full. A batch takes its first record even if it is larger.
        if builder.append(count, None, key, value, headers) is None:
            yield OutgoingBatch(builder.build(), count)
            builder, count = _builder(), 0
            builder.append(count, None, key, value, headers)
        count += 1
    if count:
        yield OutgoingBatch(builder.build(), count)


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=MAGIC,
        compression_type=0,
        is_transactional=1,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=RESULTS_BATCH_BYTES,
    )
