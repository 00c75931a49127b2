"""Builds batches of records with the client's own builder, which the project's is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from contract.topics import RESULTS_BATCH_BYTES
from transport.sink.batches import OutgoingBatch

MAGIC: Final = 2


class OutgoingRecord(NamedTuple):
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value, for the metrics."""
        return len(self.key or b"") + len(self.value or b"")


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
