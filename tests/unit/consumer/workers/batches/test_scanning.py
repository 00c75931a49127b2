"""The compiled scan finds what the service's own parser finds, whatever is in a batch."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from numba.core.registry import CPUDispatcher

from consumer.workers.batches import scanning
from consumer.workers.batches.rows import BLOCK_RECORDS, NOT_INFLATED, READABLE
from consumer.workers.batches.scanning import scan
from tests.harness.raw_batches import UNREADABLE, Raw, batch_bytes
from tests.harness.scanned import LIMIT_BYTES, scanned_batch
from transport import record_batch
from transport.batches.layout import HEADER_BYTES, MAX_HEADERS
from transport.record_batch import Unreadable

HERE: Final = TopicPartition("requests", 3)
FIRST: Final = 2**40
BATCHES: Final = 1_500
ENCODERS: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: gzip_encode,
    2: snappy_encode,
    3: lz4_encode,
    4: zstd_encode,
}
NAMES: Final = ["", "request-id", "größe", "名前", "😀", "\x7f\x80\u07ff\u0800\ud7ff\uffff\U00010000", UNREADABLE]
NOT_QUITE_UTF8: Final = [
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xf5\x80\x80\x80", b"\xff", b"a\xc3", b"\xe2\x82", b"\xf0\x9f\x98"),
    *(b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc3\xc3\xa4"),
]

REASONS: Final = [
    "it is cut short",
    "a number has too many bytes",
    "a part of it ends after its own end",
    "its length is not that of what it holds",
    "a header has no name",
    "it claims position -1 in its batch, and the next one is",
    "'utf-8' codec can't decode",
    "its batch is malformed: it is cut short",
    "its batch is malformed: a number has too many bytes",
    "its batch is malformed: a record does not end in it",
    "its batch cannot be inflated: DecompressionError",
    "its batch cannot be inflated: UnsupportedCodecError",
]


def parsed(batch: bytes) -> list[ConsumerRecord | Unreadable]:
    return list(record_batch._Batch(memoryview(batch), HERE))


def with_header(batch: bytes, *, attributes: int = 0, last_place: int | None = None, max_ms: int = 0) -> bytes:
    """Change fields of the header, and compress the records if the attributes say so."""
    changed, body = bytearray(batch[:HEADER_BYTES]), batch[HEADER_BYTES:]
    struct.pack_into(">h", changed, 21, attributes)
    if last_place is not None:
        struct.pack_into(">i", changed, 23, last_place)
    struct.pack_into(">q", changed, 35, max_ms)
    return bytes(changed) + ENCODERS.get(attributes & 7, bytes)(body)


def random_record(chance: random.Random) -> Raw:
    def part() -> bytes | None:
        return chance.choice([None, b"", b"x", chance.randbytes(chance.choice([3, 63, 64, 200]))])

    return Raw(
        part(),
        part(),
        [(chance.choice(NAMES), part()) for _ in range(chance.choice([0, 0, 1, 2, 70]))],
        timestamp_ms=chance.choice([None, 5, -1, 2**40, 2**63 - 1, -(2**63)]),
        attributes=chance.randrange(256),
        wide=chance.random() < 0.1,
    )


def damaged(batch: bytes, chance: random.Random) -> bytes:
    """Overwrite, remove or insert a few bytes of the records."""
    changed = bytearray(batch)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        if len(changed) == HEADER_BYTES:
            break
        at = chance.randrange(HEADER_BYTES, len(changed))
        change = chance.randrange(4)
        if change == 0:
            changed[at] = chance.choice([0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        elif change == 1:
            changed[at : at + chance.randrange(1, 12)] = bytes([0xFF]) * chance.randrange(12)
        elif change == 2:
            del changed[at : at + chance.randrange(1, 4)]
        else:
            del changed[at:]
    return bytes(changed)


def random_batches(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(count):
        gaps = chance.choice([0, 0, 0, 1, 5])
        records = [random_record(chance) for _ in range(chance.choice([1, 2, 3, 8]))]
        places = sorted(chance.sample(range(len(records) + gaps), len(records)))
        if chance.random() < 0.3:
            places[chance.randrange(len(places))] = chance.choice([-1, 0, 3, 2**31 - 1, -(2**31)])
        placed = [record._replace(place=place) for record, place in zip(records, places, strict=True)]
        batch = batch_bytes(placed, first_offset=FIRST, time_ms=chance.choice([0, 2**40]))
        if chance.random() < 0.6:
            batch = damaged(batch, chance)
        batch = with_header(
            batch,
            attributes=chance.choice([0, 0, 0, 1, 2, 3, 4, chance.randrange(64)]),
            last_place=len(records) + gaps - 1,
            max_ms=chance.choice([-1, 7]),
        )
        yield damaged(batch, chance) if chance.random() < 0.1 else batch


@pytest.mark.parametrize("seed", range(3))
def test_random_batches_are_scanned_as_they_are_parsed(seed: int) -> None:
    readable, reasons = 0, set()
    for batch in random_batches(BATCHES, seed):
        expected = parsed(batch)
        assert list(scanned_batch(HERE, batch)) == expected, batch.hex()
        readable += sum(isinstance(record, ConsumerRecord) for record in expected)
        reasons |= {record.why for record in expected if isinstance(record, Unreadable)}
    assert readable > BATCHES
    assert [part for part in REASONS if not any(part in reason for reason in reasons)] == []


@pytest.mark.parametrize("name", NOT_QUITE_UTF8)
def test_a_name_that_is_almost_utf8_is_refused_in_the_words_of_python(name: bytes) -> None:
    batch = batch_bytes([Raw(b"v", headers=[("x", b""), ("y" * len(name), b"z")])]).replace(b"y" * len(name), name)
    (record,) = scanned_batch(HERE, batch)
    assert isinstance(record, Unreadable)
    assert "'utf-8' codec can't decode" in record.why
    assert [record] == parsed(batch)


def test_each_character_is_utf8_but_the_surrogates() -> None:
    name = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    (record,) = scanned_batch(HERE, batch_bytes([Raw(b"v", headers=[(name, b"")])]))
    assert isinstance(record, ConsumerRecord)
    assert record.headers == ((name, b""),)


@pytest.mark.parametrize("count", [MAX_HEADERS, MAX_HEADERS + 1, 100_000])
def test_only_the_first_headers_are_counted(count: int) -> None:
    batch = batch_bytes([Raw(b"v", headers=[("n", b"x")] * count), Raw(b"w")])
    (block,) = scan(batch, limit_bytes=LIMIT_BYTES)
    assert [row.header_count for row in block.rows()] == [MAX_HEADERS, 0]
    assert list(scanned_batch(HERE, batch)) == parsed(batch)


def test_a_batch_of_many_records_is_scanned_in_blocks() -> None:
    count = 2 * BLOCK_RECORDS + 3
    batch = batch_bytes([Raw(b"v", place=number + number // 100) for number in range(count)], first_offset=FIRST)
    batch = with_header(batch, last_place=count + count // 100)
    blocks = list(scan(batch, limit_bytes=LIMIT_BYTES))
    assert [len(block.table) for block in blocks] == [BLOCK_RECORDS, BLOCK_RECORDS, 3]
    assert [row.offset - FIRST for block in blocks for row in block.rows()] == [
        number + number // 100 for number in range(count)
    ]


@pytest.mark.parametrize("cut_at", [HEADER_BYTES + 10, -12])
def test_the_rest_of_a_malformed_batch_is_unreadable_in_all_blocks(cut_at: int) -> None:
    batch = batch_bytes([Raw(b"v")] * (BLOCK_RECORDS + 2), first_offset=FIRST)[:cut_at]
    assert list(scanned_batch(HERE, batch)) == parsed(batch)


def test_a_batch_beyond_the_limit_is_unreadable_record_by_record() -> None:
    batch = with_header(batch_bytes([Raw(bytes(600))] * (BLOCK_RECORDS + 1), first_offset=FIRST), attributes=4)
    found = list(scanned_batch(HERE, batch, limit_bytes=1_000_000))
    assert [record.offset - FIRST for record in found] == list(range(BLOCK_RECORDS + 1))
    assert {record.why for record in found if isinstance(record, Unreadable)} == {
        "its batch has more than 1,000,000 bytes when it is inflated"
    }
    (first, *_) = scan(batch, limit_bytes=1_000_000)
    row = first.rows()[0]
    assert (row.status, first.key(row), first.value(row), first.headers(row)) == (NOT_INFLATED, None, None, b"")


def test_an_unreadable_record_has_neither_key_nor_value_nor_headers() -> None:
    name = [(UNREADABLE, b"x")]
    (block,) = scan(batch_bytes([Raw(b"v", b"k", name), Raw(b"v", b"k", place=9)]), limit_bytes=LIMIT_BYTES)
    for row in block.rows():
        assert row.status != READABLE
        assert (block.key(row), block.value(row), block.headers(row)) == (None, None, b"")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_no_kind_of_buffer_makes_the_scan_compile_again(kind: Callable[[bytes], Any]) -> None:
    scanning.warm_up()
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, timestamp=0, key=None, value=b"v", headers=[])
    plain = bytes(builder.build())
    for codec in (0, 1, 2, 3, 4):
        list(scan(kind(with_header(plain, attributes=codec)), limit_bytes=LIMIT_BYTES))
    compiled = {name: len(each.signatures) for name, each in vars(scanning).items() if isinstance(each, CPUDispatcher)}
    assert compiled["_scan"] == 1
    assert max(compiled.values()) == 1, "only what is not in the cache has signatures"
