"""Whatever a sender writes into a batch, each of its records is returned once, at its own position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.raw_batches import UNREADABLE, Raw, batch_bytes
from tests.harness.scanned import scanned
from transport import record_batch as batches
from transport.batches.layout import MAX_HEADERS
from transport.record_batch import Unreadable

HERE = TopicPartition("requests", 3)
FIRST = 100
AS_THE_CLIENT = (None, None, True, 1)
"""No deserializers; checksums are compared; only what is committed is read."""
CRC_AT, CRC_FROM = 17, 21


def parsed(data: bytes, *, fetched_from: int = FIRST) -> list[ConsumerRecord | Unreadable]:
    """Parse as the client does with what it has fetched; the worker's scan must find the same."""
    try:
        found = list(batches._PartitionRecords(HERE, batches._Batches(data), [], fetched_from, *AS_THE_CLIENT))
    except CorruptRecordException:
        with pytest.raises(CorruptRecordException):
            scanned(HERE, data, fetched_from=fetched_from)
        raise
    assert scanned(HERE, data, fetched_from=fetched_from) == found
    return found


def parsed_by_the_client(data: bytes, *, fetched_from: int) -> list[ConsumerRecord]:
    return list(PartitionRecords(HERE, MemoryRecords(data), [], fetched_from, *AS_THE_CLIENT))


def sealed(data: bytes) -> bytes:
    """Give a batch the checksum that it should have."""
    checksum: int = calc_crc32c(data[CRC_FROM:])
    return data[:CRC_AT] + checksum.to_bytes(4, "big") + data[CRC_FROM:]


def values(records: Sequence[ConsumerRecord | Unreadable]) -> list[tuple[int, Any]]:
    """Give each record's offset and value, `Unreadable` for one that is."""
    return [(record.offset, Unreadable if isinstance(record, Unreadable) else record.value) for record in records]


def batch(*records: Raw) -> bytes:
    return batch_bytes(records, first_offset=FIRST, time_ms=5)


@pytest.mark.parametrize("codec", [0, 1, 4])
def test_what_the_client_can_parse_is_parsed_the_same(codec: int) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number in range(300):
        headers = [("", b""), ("request-id", b"x" * number), ("none", None)] if number % 3 else []
        key, value = [(None, b""), (b"", None), (b"k" * number, b"v" * 700)][number % 3]
        builder.append(number, timestamp=1_700_000_000_000 + number * number, key=key, value=value, headers=headers)
    data = bytes(builder.build())
    assert parsed(data, fetched_from=7) == parsed_by_the_client(data, fetched_from=7)


def test_a_record_with_a_header_name_that_is_not_utf8_is_unreadable_alone() -> None:
    records = [Raw(b"a"), Raw(b"b", headers=[(UNREADABLE, b"x")]), Raw(b"c")]
    assert values(parsed(batch(*records))) == [(100, b"a"), (101, Unreadable), (102, b"c")]


@pytest.mark.parametrize(
    "claimed", [[1_000_000, 1_000_001, 1_000_002], [2, 1, 0], [0, 0, 0], [-7, -6, -5], [0, 2, 1], [2**31 - 1, 0, 0]]
)
def test_records_that_claim_other_places_than_their_own_are_unreadable_at_their_own(claimed: list[int]) -> None:
    found = values(parsed(batch(*(Raw(b"x", place=place) for place in claimed))))
    expected = [b"x" if place == own else Unreadable for own, place in enumerate(claimed)]
    assert found == [(FIRST + own, value) for own, value in enumerate(expected)]


def test_numbers_that_kafka_takes_are_taken() -> None:
    odd = [Raw(b"v", b"k", [("name", b"x"), ("none", None)], wide=True), Raw(None, None, wide=True), Raw(b"", b"")]
    odd = [*odd, Raw(b"v", attributes=0x80), Raw(b"v", timestamp_ms=2**63 - 1), Raw(b"v", timestamp_ms=-(2**63) + 5)]
    found = [record for record in parsed(batch(*odd)) if not isinstance(record, Unreadable)]
    assert values(found) == [(100, b"v"), (101, None), (102, b""), (103, b"v"), (104, b"v"), (105, b"v")]
    assert found[0].headers == (("name", b"x"), ("none", None))
    assert [record.timestamp for record in found[-2:]] == [2**63 - 1, -(2**63) + 5]


def test_a_record_has_its_own_headers_also_after_one_with_the_same_or_with_others() -> None:
    own: list[list[tuple[str, bytes | None]]] = [[], [("a", b"1")], [("a", b"1")], [("a", b"2")], [], [("a", b"1")]]
    found = parsed(batch(*(Raw(b"v", headers=headers) for headers in own)))
    assert [record.headers for record in found if not isinstance(record, Unreadable)] == [tuple(each) for each in own]


def test_only_the_first_of_many_headers_are_read() -> None:
    (record,) = parsed(batch(Raw(b"v", headers=[("", b"")] * 500_000)))
    assert not isinstance(record, Unreadable)
    assert (record.value, len(record.headers)) == (b"v", MAX_HEADERS)


def test_a_compacted_batch_may_have_gaps() -> None:
    data = bytearray(batch(Raw(b"a", place=1), Raw(b"b", place=4), Raw(b"c", place=4)))
    data[23:27] = (5).to_bytes(4, "big")  # the last place of the batch as it was sent
    assert values(parsed(sealed(bytes(data)))) == [(101, b"a"), (104, b"b"), (105, Unreadable)]


def test_a_batch_that_cannot_be_inflated_is_unreadable_record_by_record() -> None:
    data = bytearray(batch(Raw(b"a"), Raw(b"b")))
    data[22] |= 4  # as if it were zstd
    assert values(parsed(sealed(bytes(data)))) == [(100, Unreadable), (101, Unreadable)]


def test_a_wrong_checksum_is_no_poison() -> None:
    data = bytearray(batch(Raw(b"a")))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        parsed(bytes(data))


def test_a_fetch_from_within_a_batch_begins_there() -> None:
    data = batch(Raw(b"a"), Raw(b"b", headers=[(UNREADABLE, b"")]), Raw(b"c"))
    assert values(parsed(data, fetched_from=101)) == [(101, Unreadable), (102, b"c")]


@given(st.data())
def test_whatever_stands_in_a_batch_each_record_comes_out_once_in_order(data: st.DataObject) -> None:
    raw = st.builds(
        Raw,
        value=st.none() | st.binary(max_size=9),
        key=st.none() | st.binary(max_size=9),
        headers=st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=3),
        place=st.none() | st.integers(-3, 5),
        timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
        attributes=st.integers(0, 255),
        wide=st.booleans(),
    )
    records = data.draw(st.lists(raw, min_size=1, max_size=6))
    written = bytearray(batch(*records))
    for at in data.draw(st.lists(st.integers(61, len(written) - 1), max_size=4)):
        written[at] = data.draw(st.integers(0, 255))
    found = parsed(sealed(bytes(written)))
    assert [record.offset for record in found] == [FIRST + place for place in range(len(records))]
