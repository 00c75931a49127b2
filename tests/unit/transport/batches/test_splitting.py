"""Fetched bytes are cut into batches, and what is left out is what the client's own fetcher leaves out."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Final

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from tests.harness.raw_batches import Raw, batch_bytes
from transport.batches.layout import CHECKSUM_FROM, HEADER_BYTES, ZSTD
from transport.batches.splitting import Split, UnsupportedFormatError, split_batches

HERE: Final = TopicPartition("requests", 3)
ABORT, COMMIT = 0, 1
TRANSACTIONAL, CONTROL = 0x10, 0x20
LOGS: Final = 400


def sealed(batch: bytes) -> bytes:
    """Give a batch the length and the checksum that it should have."""
    changed = bytearray(batch)
    struct.pack_into(">i", changed, 8, len(batch) - 12)
    struct.pack_into(">I", changed, 17, calc_crc32c(bytes(changed[CHECKSUM_FROM:])))
    return bytes(changed)


def batch(
    first_offset: int, values: Sequence[bytes], *, attributes: int = 0, producer_id: int = -1, removed: int = 0
) -> bytes:
    """Write a batch; compaction has removed as many records after its last one."""
    changed = bytearray(batch_bytes([Raw(value) for value in values], first_offset=first_offset, time_ms=7))
    struct.pack_into(">hi", changed, 21, attributes, len(values) + removed - 1)
    struct.pack_into(">q", changed, 43, producer_id)
    return sealed(bytes(changed))


def marker(offset: int, producer_id: int, kind: int) -> bytes:
    """Write the batch that ends a transaction."""
    changed = bytearray(batch_bytes([Raw(bytes(6), struct.pack(">hh", 0, kind))], first_offset=offset))
    struct.pack_into(">h", changed, 21, TRANSACTIONAL | CONTROL)
    struct.pack_into(">q", changed, 43, producer_id)
    return sealed(bytes(changed))


def split(
    *batches: bytes, fetched_from: int = 100, aborted: Sequence[tuple[int, int]] | None = None, cut: int = 0
) -> Split:
    fetched = b"".join(batches)
    return split_batches(HERE, fetched[: len(fetched) - cut], fetched_from=fetched_from, aborted=aborted)


def spans(found: Split) -> list[tuple[int, int]]:
    return [(each.header.base_offset, each.header.last_offset) for each in found.batches]


def test_a_batch_is_returned_whole_with_its_header() -> None:
    written = batch(100, [b"a", b"b"], attributes=TRANSACTIONAL | 0x08 | ZSTD, producer_id=9, removed=3)
    found = split(batch(90, [b"x"]), written, fetched_from=90)
    data, header = found.batches[1].data, found.batches[1].header
    assert bytes(data) == written
    assert (header.base_offset, header.last_offset, header.record_count, header.producer_id) == (100, 104, 2, 9)
    assert (header.codec, header.is_transactional, header.is_control, header.has_log_append_time) == (
        4,
        True,
        False,
        True,
    )
    assert (header.first_timestamp_ms, header.max_timestamp_ms) == (7, 7)
    assert found.next_offset == 105


def test_no_bytes_are_no_batches() -> None:
    assert split(fetched_from=7) == Split([], 7)


@pytest.mark.parametrize("cut", [1, 20, HEADER_BYTES, HEADER_BYTES + 2])
def test_a_batch_that_is_cut_short_at_the_end_is_left_to_the_next_fetch(cut: int) -> None:
    found = split(batch(100, [b"a"]), batch(101, [b"b"]), cut=cut)
    assert (spans(found), found.next_offset) == ([(100, 100)], 101)


def test_a_first_batch_that_is_cut_short_is_an_error() -> None:
    with pytest.raises(CorruptRecordException, match="fetched bytes of requests/3 are less than one batch"):
        split(batch(100, [b"a"]), cut=1)


def test_batches_before_the_position_are_left_out_and_the_one_around_it_is_whole() -> None:
    found = split(batch(90, [b"a"]), batch(98, [b"b"] * 5), batch(103, [b"c"]))
    assert (spans(found), found.next_offset) == ([(98, 102), (103, 103)], 104)


def test_a_batch_without_records_is_passed() -> None:
    found = split(batch(100, [], removed=5), fetched_from=100)
    assert found == Split([], 105)


def test_markers_and_aborted_records_are_left_out_and_passed() -> None:
    found = split(
        batch(100, [b"a"], attributes=TRANSACTIONAL, producer_id=1),
        batch(101, [b"b"], attributes=TRANSACTIONAL, producer_id=2),
        batch(102, [b"c"], producer_id=1),
        marker(103, 1, ABORT),
        batch(104, [b"d"], attributes=TRANSACTIONAL, producer_id=1),
        marker(105, 2, COMMIT),
        marker(106, 1, COMMIT),
        aborted=[(1, 100)],
    )
    assert (spans(found), found.next_offset) == ([(101, 101), (102, 102), (104, 104)], 107)


def test_a_marker_that_compaction_has_emptied_ends_no_transaction() -> None:
    emptied = batch(101, [], attributes=TRANSACTIONAL | CONTROL, producer_id=1, removed=1)
    later = batch(102, [b"b"], attributes=TRANSACTIONAL, producer_id=1)
    assert split(emptied, later, aborted=[(1, 100)]) == Split([], 103)


def damaged(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])


def other_count(whole: bytes) -> bytes:
    return sealed(whole[:57] + struct.pack(">i", 7) + whole[61:])


def shorter_length(whole: bytes) -> bytes:
    return whole[:8] + struct.pack(">i", 20) + whole[12:]


def negative_length(whole: bytes) -> bytes:
    return whole[:8] + struct.pack(">i", -100) + whole[12:]


@pytest.mark.parametrize(
    "damage", [damaged, other_count, shorter_length, negative_length], ids=lambda each: each.__name__
)
def test_damage_stops_at_its_batch_and_is_an_error_when_it_is_the_first(damage: object) -> None:
    assert callable(damage)
    bad = damage(batch(101, [b"b"]))
    found = split(batch(100, [b"a"]), bad, batch(102, [b"c"]))
    assert (spans(found), found.next_offset) == ([(100, 100)], 101)
    with pytest.raises(CorruptRecordException, match="the batch at offset 101 of requests/3"):
        split(bad, batch(102, [b"c"]), fetched_from=101)


@pytest.mark.parametrize("magic", [0, 1])
def test_an_older_message_format_is_an_error_that_says_what_to_do(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
    builder.append(100, timestamp=7, key=None, value=b"a")
    old = bytes(builder.build())
    with pytest.raises(UnsupportedFormatError, match=f"requests/3 has message format {magic}.*move the group's offset"):
        split(old)
    assert split(batch(99, [b"x"]), old, fetched_from=99).next_offset == 100


def random_log(chance: random.Random) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Write a log of transactions that overlap; return it with those that were aborted."""
    offset, log, aborted = 0, [], []
    began: dict[int, int] = {}
    for _ in range(chance.randrange(1, 30)):
        producer_id = chance.randrange(4)
        if chance.random() < 0.3:
            kind = chance.choice([ABORT, COMMIT])
            if kind == ABORT and producer_id in began:
                aborted.append((producer_id, began[producer_id]))
            began.pop(producer_id, None)
            log.append(marker(offset, producer_id, kind))
            offset += 1
            continue
        transactional = chance.random() < 0.8
        if transactional:
            began.setdefault(producer_id, offset)
        count, removed = chance.randrange(1, 4), chance.choice([0, 0, 2])
        attributes = TRANSACTIONAL if transactional else 0
        values = [b"%d" % (offset + place) for place in range(count)]
        log.append(batch(offset, values, attributes=attributes, producer_id=producer_id, removed=removed))
        offset += count + removed + chance.choice([0, 0, 3])
    chance.shuffle(aborted)
    return log, aborted


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_out_of_random_logs_is_what_the_client_leaves_out(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    found_some = 0
    for _ in range(LOGS // 4):
        log, aborted = random_log(chance)
        fetched = b"".join(log)
        fetched_from = chance.choice([0, 0, 1])
        fetched = fetched[: len(fetched) - chance.randrange(len(log[-1]) if len(log) > 1 else 1)]
        client = PartitionRecords(HERE, MemoryRecords(fetched), list(aborted), fetched_from, None, None, True, 1)
        expected = [record.offset for record in client]
        found = split_batches(HERE, fetched, fetched_from=fetched_from, aborted=aborted)
        offsets = [
            offset
            for each in found.batches
            for offset in range(each.header.base_offset, each.header.base_offset + each.header.record_count)
            if offset >= fetched_from
        ]
        assert offsets == expected
        assert found.next_offset == max(fetched_from, client.next_fetch_offset)
        found_some += len(offsets)
    assert found_some > LOGS
