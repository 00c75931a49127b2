"""Batches are built once up to their limit, and stamped with a producer's epoch and sequence for each attempt."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from contract.topics import BATCH_FRAMING_BYTES, RESULTS_BATCH_BYTES
from tests.harness.outgoing_records import OutgoingRecord, build_batches
from transport.sink.batches import OutgoingBatch

HEAD = struct.Struct(">qiibIhiqqqhii")


def records_of(batch: OutgoingBatch) -> list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]:
    records = MemoryRecords(bytes(batch.data))
    only = records.next_batch()
    assert only.validate_crc()
    assert not records.has_next()
    return [(record.key, record.value, tuple(record.headers)) for record in only]


def test_a_stamp_writes_producer_epoch_sequence_and_checksum_and_nothing_else() -> None:
    (batch,) = build_batches([OutgoingRecord(b"k", b"value", [("name", b"x")]), OutgoingRecord(None, None, [])])
    before = HEAD.unpack_from(batch.data)
    stamped = bytes(batch.stamp(7_000_000_001, 12, 345))
    offset, length, leader_epoch, magic, checksum, attributes, last, *times, producer, epoch, sequence, count = (
        HEAD.unpack_from(stamped)
    )
    assert (producer, epoch, sequence) == (7_000_000_001, 12, 345)
    assert checksum == calc_crc32c(stamped[21:])
    assert (offset, length, leader_epoch, magic, attributes, last, *times, count) == (
        *before[:4],
        *before[5:9],
        before[12],
    )
    assert stamped[HEAD.size :] == bytes(batch.data)[HEAD.size :]
    assert (offset, length, magic, attributes, last, count) == (0, len(stamped) - 12, 2, 0x10, 1, 2)  # transactional
    assert batch.records == 2
    assert records_of(batch) == [(b"k", b"value", (("name", b"x"),)), (None, None, ())]


def test_a_batch_stamped_again_has_only_the_last_stamp() -> None:
    (batch,) = build_batches([OutgoingRecord(b"k", b"value", [])])
    first = bytes(batch.stamp(1, 1, 0))
    batch.stamp(2, 9, 1_000)
    assert bytes(batch.stamp(1, 1, 0)) == first


def test_records_are_cut_into_batches_of_the_limit_and_stay_in_order() -> None:
    values = [b"%06d" % number + bytes(1_000) for number in range(1_500)]
    batches = list(build_batches(OutgoingRecord(None, value, []) for value in values))
    assert [value for batch in batches for _, value, _ in records_of(batch)] == values
    sizes = [len(batch.data) for batch in batches]
    assert max(sizes) <= RESULTS_BATCH_BYTES
    assert min(sizes[:-1]) > RESULTS_BATCH_BYTES - 1_100, "each is full"
    assert sum(batch.records for batch in batches) == 1_500


def test_a_record_larger_than_the_limit_has_a_batch_of_its_own() -> None:
    large = bytes(3 * RESULTS_BATCH_BYTES)
    values = [b"before", large, b"after", b"after it"]
    batches = list(build_batches(OutgoingRecord(None, value, []) for value in values))
    assert [batch.records for batch in batches] == [1, 1, 2]
    assert [value for batch in batches for _, value, _ in records_of(batch)] == values
    assert len(batches[1].data) <= len(large) + BATCH_FRAMING_BYTES


def test_no_records_are_no_batch() -> None:
    assert list(build_batches([])) == []


@pytest.mark.parametrize(("key", "value", "size"), [(b"abc", b"defg", 7), (None, b"x", 1), (None, None, 0)])
def test_the_size_of_a_record_is_that_of_key_and_value(key: bytes | None, value: bytes | None, size: int) -> None:
    assert OutgoingRecord(key, value, [("name", b"not counted")]).size_bytes == size
