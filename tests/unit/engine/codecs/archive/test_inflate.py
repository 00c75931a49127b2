"""Entries inflate by every method that is read, no further than they declare; other methods are named."""

from __future__ import annotations

import zlib

import pytest

from engine.codecs.archive.directory import directory
from engine.codecs.archive.inflate import inflate
from engine.codecs.archive.methods import METHODS
from engine.errors import EngineError
from engine.limits import Limits
from tests.hostile.case import SEVEN
from tests.hostile.zips import (
    AES,
    BZIP2,
    DEFLATE64,
    ENCRYPTED,
    END_MARKER,
    LZMA,
    PACKERS,
    PPMD,
    STRONGLY_ENCRYPTED,
    XZ,
    ZSTANDARD,
    Entry,
    archive,
    lzma_packed,
)

LIMITS = Limits()
LARGE = SEVEN + bytes(300_000)
READ = sorted(METHODS)


def inflated(entry: Entry) -> bytes:
    payload = archive(entry)
    return inflate(payload, directory(payload, LIMITS)[0], LIMITS, lambda _: None)


def error(entry: Entry) -> EngineError:
    with pytest.raises(EngineError) as caught:
        inflated(entry)
    return caught.value


@pytest.mark.parametrize("method", READ)
@pytest.mark.parametrize("data", [b"", SEVEN, LARGE], ids=["nothing", "a digit", "more"])
def test_every_method_gives_back_what_was_packed(method: int, data: bytes) -> None:
    assert inflated(Entry(data=data, method=method)) == data


@pytest.mark.parametrize("method", READ)
@pytest.mark.parametrize("claimed", [0, 1, len(LARGE) - 1, len(LARGE) + 1])
def test_an_entry_of_another_size_than_it_declares_is_damaged(method: int, claimed: int) -> None:
    flags = END_MARKER if method == LZMA else 0
    assert error(Entry(data=LARGE, method=method, flags=flags, inflated_bytes=claimed)).code == "damaged-entry"


@pytest.mark.parametrize("method", [method for method in READ if method])
@pytest.mark.parametrize("kept", [0, 3, 40, -20])
def test_a_stream_that_is_cut_short_is_damaged(method: int, kept: int) -> None:
    packed = PACKERS[method](SEVEN)[:kept]
    assert error(Entry(method=method, packed=packed)).code == "damaged-entry"


@pytest.mark.parametrize("method", READ)
def test_a_wrong_checksum_is_damage_by_every_method(method: int) -> None:
    assert error(Entry(method=method, crc=zlib.crc32(SEVEN) ^ 1)).code == "damaged-entry"


def test_lzma_ends_by_its_size_or_by_its_marker() -> None:
    packed = lzma_packed(SEVEN)
    without = packed[:-5]
    assert inflated(Entry(method=LZMA, packed=packed, flags=END_MARKER)) == SEVEN
    assert inflated(Entry(method=LZMA, packed=without)) == SEVEN
    assert error(Entry(method=LZMA, packed=without, flags=END_MARKER)).code == "damaged-entry"


@pytest.mark.parametrize("method", [DEFLATE64, XZ, PPMD])
def test_a_method_that_is_not_read_is_named(method: int) -> None:
    name = {DEFLATE64: "Deflate64", XZ: "XZ", PPMD: "PPMd"}[method]
    refused = error(Entry(method=method))
    assert refused.code == "unknown-compression"
    assert f"compressed by {name} (method {method})" in str(refused)


def test_an_unknown_method_is_named_by_its_number() -> None:
    assert "compressed by method 77, which" in str(error(Entry(method=77)))


@pytest.mark.parametrize(
    ("entry", "cipher"),
    [
        (Entry(flags=ENCRYPTED), "ZipCrypto"),
        (Entry(flags=ENCRYPTED, method=AES), "AES"),
        (Entry(flags=STRONGLY_ENCRYPTED), "strong encryption"),
        (Entry(flags=ENCRYPTED, method=BZIP2), "ZipCrypto"),
        (Entry(flags=ENCRYPTED, method=ZSTANDARD), "ZipCrypto"),
    ],
)
def test_how_an_entry_is_encrypted_is_named(entry: Entry, cipher: str) -> None:
    refused = error(entry)
    assert refused.code == "encrypted-entry"
    assert str(refused) == f"The entry is encrypted by {cipher}; send it without a password."
