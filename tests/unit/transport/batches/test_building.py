"""The builder of record batches writes what the Kafka client's own builder writes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from transport.batches.building import BatchBuilder, header_block, sized
from transport.batches.layout import BatchHeader

TIME_MS = 1_700_000_000_000
Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]

BYTES = st.one_of(st.none(), st.binary(max_size=300))
RECORDS = st.tuples(BYTES, BYTES, st.lists(st.tuples(st.text(max_size=5), BYTES), max_size=3))


def built(records: Sequence[Record], *, limit_bytes: int = 1_000_000) -> list[bytearray]:
    builder = BatchBuilder(limit_bytes, TIME_MS)
    for key, value, headers in records:
        builder.append(sized(key), value, header_block(headers))
    return builder.build()


def built_by_the_client(records: Sequence[Record]) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=1,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=2**30,
    )
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, TIME_MS, key, value, headers)
    return bytes(builder.build())


def without_checksum(batch: bytes | bytearray) -> bytes | bytearray:
    return batch[:17] + batch[21:]


@given(st.lists(RECORDS, min_size=1, max_size=20))
def test_a_batch_is_the_same_as_the_clients_but_for_its_checksum(records: list[Record]) -> None:
    (batch,) = built(records)
    assert without_checksum(batch) == without_checksum(built_by_the_client(records))


@pytest.mark.parametrize("size_bytes", [64 * 1024, 64 * 1024 + 1, 3_000_000])
@pytest.mark.parametrize("count", [1, 3])
def test_large_records_have_batches_of_their_own(size_bytes: int, count: int) -> None:
    records = [(b"key", bytes(size_bytes), [("name", b"value")])] * count
    batches = built(records, limit_bytes=1)
    expected = built_by_the_client(records[:1])
    assert [without_checksum(batch) for batch in batches] == [without_checksum(expected)] * count


def test_full_batches_are_cut_and_no_record_is_lost() -> None:
    records: list[Record] = [(None, b"%d" % number, []) for number in range(5_000)]
    batches = built(records, limit_bytes=10_000)
    assert max(map(len, batches)) <= 10_000
    assert sum(BatchHeader.parse(batch).record_count for batch in batches) == 5_000
    values = [record.value for batch in batches for record in DefaultRecordBatch(batch)]
    assert values == [value for _, value, _ in records]


def test_nothing_makes_no_batch() -> None:
    assert built([]) == []
