"""Whatever was compressed, it takes no more memory than the limit."""

from __future__ import annotations

import gzip
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Final

import cramjam
import pytest
from aiokafka import codec as client
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from consumer.workers.batches import inflating
from consumer.workers.batches.inflating import FIRST_ROOM_BYTES, InflateError, inflate
from transport.batches.layout import GZIP, LZ4, NO_CODEC, SNAPPY, ZSTD

CODECS: Final[dict[str, tuple[int, Callable[[bytes], bytes], Callable[[bytes], bytes]]]] = {
    "gzip": (GZIP, gzip_encode, client.gzip_decode),
    "snappy": (SNAPPY, lambda data: bytes(snappy_encode(data, xerial_compatible=False)), client.snappy_decode),
    "snappy of Java": (SNAPPY, snappy_encode, client.snappy_decode),
    "lz4": (LZ4, lz4_encode, client.lz4_decode),
    "zstd": (ZSTD, zstd_encode, client.zstd_decode),
}
SIZES: Final = [1, 1_000, FIRST_ROOM_BYTES, FIRST_ROOM_BYTES + 1, 300_000]

CHANCE: Final = random.Random(7)  # noqa: S311  # no secret

each_codec = pytest.mark.parametrize("name", CODECS)


def inflated(data: bytes, codec: int, limit_bytes: int) -> bytes:
    return bytes(inflate(memoryview(data), codec, limit_bytes=limit_bytes))


@each_codec
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", [bytes, CHANCE.randbytes], ids=["zeros", "noise"])
def test_up_to_the_limit_all_is_inflated(name: str, size: int, content: Callable[[int], bytes]) -> None:
    codec, encode, _ = CODECS[name]
    data = content(size)
    packed = bytes(encode(data))
    assert inflated(packed, codec, size) == data
    assert inflated(packed, codec, 10 * size) == data
    if size > 1:
        with pytest.raises(InflateError, match=f"its batch has more than {size - 1:,} bytes when it is inflated"):
            inflated(packed, codec, size - 1)


@each_codec
def test_damaged_bytes_fail_with_the_error_of_the_clients_codec(name: str) -> None:
    codec, encode, decode = CODECS[name]
    chance = random.Random(11)  # noqa: S311  # as above
    packed = bytes(encode(bytes(5_000) + chance.randbytes(500)))
    for _ in range(300):
        changed = bytearray(packed)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        damaged = bytes(changed)[: chance.choice([len(changed), chance.randrange(len(changed))])]
        try:
            expected = decode(damaged)
        except Exception as error:  # noqa: BLE001  # which one it is, is compared
            why = f"its batch cannot be inflated: {type(error).__name__}"
            with pytest.raises(InflateError) as raised:
                inflated(damaged, codec, 1 << 20)
            assert str(raised.value) in {why, "its batch has more than 1,048,576 bytes when it is inflated"}
        else:
            assert inflated(damaged, codec, 1 << 20) == expected


def test_several_gzip_members_and_padding_are_one_content() -> None:
    packed = gzip.compress(b"a" * 70_000) + gzip.compress(b"b") + bytes(9)
    assert inflated(packed, GZIP, 70_001) == b"a" * 70_000 + b"b"
    with pytest.raises(InflateError, match="more than 70,000 bytes"):
        inflated(packed, GZIP, 70_000)


def test_deflated_bytes_without_the_frame_of_gzip_are_damaged() -> None:
    with pytest.raises(InflateError, match="cannot be inflated: BadGzipFile"):
        inflated(zlib.compress(b"a"), GZIP, 9)


def test_a_snappy_block_of_negative_length_is_damaged_and_not_read_again() -> None:
    packed = snappy_encode(b"a" * 100)[:16] + struct.pack(">i", -14) + bytes(cramjam.snappy.compress_raw(b"a" * 100))
    with pytest.raises(InflateError, match="cannot be inflated: DecompressionError"):
        inflated(packed, SNAPPY, 1_000)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_is_named_as_the_client_names_it(codec: int) -> None:
    with pytest.raises(InflateError, match="its batch cannot be inflated: UnsupportedCodecError"):
        inflated(b"a", codec, 9)


def test_what_is_not_compressed_has_no_limit_and_is_not_copied() -> None:
    data = bytearray(100)
    found = inflate(memoryview(data), NO_CODEC, limit_bytes=1)
    assert found.readonly
    assert found.obj is data


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = bytes(zstd_encode(bytes(64 * 1024 * 1024)))
    assert len(bomb) < 10_000
    tracemalloc.start()
    with pytest.raises(InflateError, match="more than 1,000,000 bytes"):
        inflated(bomb, ZSTD, 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_lack_of_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: memoryview, __: int) -> bytes:
        raise MemoryError

    monkeypatch.setitem(inflating._INFLATERS, ZSTD, fail)
    with pytest.raises(MemoryError):
        inflated(b"a", ZSTD, 9)
