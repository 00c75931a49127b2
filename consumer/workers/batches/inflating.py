"""Inflates the records of a batch, which anyone may have compressed, up to a limit.

The codecs are the ones that the Kafka client uses, and what it can inflate is inflated here. The client has no limit: a
few thousand bytes can become hundreds of megabytes.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from typing import Final

import cramjam
import numpy as np

from transport.batches.layout import GZIP, LZ4, NO_CODEC, SNAPPY, ZSTD

Buffer = bytes | bytearray | memoryview

FIRST_ROOM_BYTES: Final = 64 * 1024
"""The least memory that is reserved for the inflated bytes at first; it grows if it does not suffice."""
_ROOM_GROWTH: Final = 4
_FIRST_GROWTH: Final = 2

_XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""Java's snappy library begins with this, and has the length of each block before it."""
_BLOCK_LENGTH: Final = struct.Struct(">i")


class InflateError(Exception):
    """The records cannot be inflated. The message says why, and continues a sentence about a record."""


def inflate(data: memoryview, codec: int, *, limit_bytes: int) -> memoryview:
    """Inflate the records of a batch.

    Parameters
    ----------
    data
        What comes after the header of the batch.
    codec
        As in `BatchHeader.codec`.
    limit_bytes
        The most bytes that compressed records may have when they are inflated, at least 1. About as much is reserved
        meanwhile; zstd reserves up to 128 MiB more if the sender asks for it.

    Returns
    -------
    memoryview
        Not writable. `data` itself if it is not compressed.

    Raises
    ------
    InflateError
        They are damaged, larger than the limit, or compressed by an unknown codec.
    MemoryError
        The process has less memory than the limit. The batch may be undamaged.
    """
    if codec == NO_CODEC:
        return data.toreadonly()
    try:
        inflated = _INFLATERS[codec](data, limit_bytes)
    except (MemoryError, InflateError):
        raise
    except Exception as error:  # a codec may raise any exception for damaged bytes
        kind = "UnsupportedCodecError" if codec not in _INFLATERS else type(error).__name__
        raise InflateError(f"its batch cannot be inflated: {kind}") from error
    return memoryview(inflated).toreadonly()


def _too_large(limit_bytes: int) -> InflateError:
    return InflateError(f"its batch has more than {limit_bytes:,} bytes when it is inflated")


def _gzip(data: memoryview, limit_bytes: int) -> Buffer:
    with gzip.GzipFile(fileobj=io.BytesIO(data), mode="r") as file:
        inflated = file.read(limit_bytes + 1)  # reads to the end, where the checksum is, unless there is more
    if len(inflated) > limit_bytes:
        raise _too_large(limit_bytes)
    return inflated


def _snappy(data: memoryview, limit_bytes: int) -> Buffer:
    if len(data) <= len(_XERIAL) or bytes(data[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(data, limit_bytes, limit_bytes)
    inflated = io.BytesIO()
    at = len(_XERIAL)
    while at < len(data):
        (length_bytes,) = _BLOCK_LENGTH.unpack_from(data, at)
        if length_bytes < 0:
            raise cramjam.DecompressionError("a block has a negative length")
        at += _BLOCK_LENGTH.size
        inflated.write(_snappy_block(data[at : at + length_bytes], limit_bytes - inflated.tell(), limit_bytes))
        at += length_bytes
    return inflated.getbuffer()


def _snappy_block(block: memoryview, room_bytes: int, limit_bytes: int) -> Buffer:
    """Inflate one block, which begins with its inflated length."""
    if cramjam.snappy.decompress_raw_len(block) > room_bytes:
        raise _too_large(limit_bytes)
    return memoryview(cramjam.snappy.decompress_raw(block))


def _lz4(data: memoryview, limit_bytes: int) -> Buffer:
    return _into_growing_room(cramjam.lz4.decompress_into, data, limit_bytes)


def _zstd(data: memoryview, limit_bytes: int) -> Buffer:
    return _into_growing_room(cramjam.zstd.decompress_into, data, limit_bytes)


def _into_growing_room(decompress: Callable[[Buffer, Buffer], int], data: memoryview, limit_bytes: int) -> Buffer:
    """Inflate into a buffer, and into larger ones up to the limit as long as that fails.

    The codec raises the same exception for a buffer that is too small as for damaged bytes.
    """
    room_bytes = min(limit_bytes, max(FIRST_ROOM_BYTES, _FIRST_GROWTH * len(data)))
    while True:
        room = np.empty(room_bytes, np.uint8).data  # takes memory only where it is written to
        try:
            return room[: decompress(data, room)]
        except cramjam.DecompressionError as error:
            if room_bytes == limit_bytes:
                if _ROOM_IS_FULL in str(error):
                    raise _too_large(limit_bytes) from error
                raise
        room_bytes = min(limit_bytes, _ROOM_GROWTH * room_bytes)


_ROOM_IS_FULL: Final = "failed to write whole buffer"
"""Part of the message of cramjam's exception for a buffer that is too small."""

_INFLATERS: Final[dict[int, Callable[[memoryview, int], Buffer]]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: _zstd,
}
