"""The compression methods of entries that are read: each inflates at most what the entry declares.

Deflate, bzip2 and LZMA are read by the standard library, Zstandard by the library that also reads compressed batches of
Kafka. The other methods are only named. For Deflate64 no library bounds memory and time on damaged streams: inflate64
1.0.4 copies memory that it has not initialised if a distance is too long, and stream-inflate 0.0.43 takes 1 µs a byte.

References
----------
.. [1] PKWARE, APPNOTE.TXT, .ZIP File Format Specification, version 6.3.10: 4.4.5, 5.8 and 5.10.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import cramjam
import numpy as np

from engine.errors import DamagedEntry

FLAG_END_MARKER: Final = 0x0002
"""Of an LZMA entry: its stream ends with a marker."""

_LZMA_HEADER_BYTES: Final = 4  # version of the SDK, and the size of the properties
_LZMA_PROPERTIES_BYTES: Final = 5
_LZMA_DICTIONARY_MIN_BYTES: Final = 4_096
_LZMA_CONTEXTS_END: Final = 9 * 5 * 5
_LZMA_CONTEXT_BITS_MAX: Final = 4  # literal context and position bits together, as liblzma allows


class Method(NamedTuple):
    """A compression method that is read."""

    inflate: Callable[[memoryview, int, int], bytes]
    """Called with the packed bytes, how many the entry declares, and its flags; may return one byte more than that."""
    cost: int
    """As many bytes of pixels are decoded in the time in which one byte is inflated."""


def _stored(packed: memoryview, _expected_bytes: int, _flags: int) -> bytes:
    return bytes(packed)


def _deflate(packed: memoryview, expected_bytes: int, _flags: int) -> bytes:
    return _streamed(zlib.decompressobj(-zlib.MAX_WBITS), packed, expected_bytes, "deflate")


def _bzip2(packed: memoryview, expected_bytes: int, _flags: int) -> bytes:
    return _streamed(bz2.BZ2Decompressor(), packed, expected_bytes, "bzip2")


def _lzma(packed: memoryview, expected_bytes: int, flags: int) -> bytes:
    """Inflate raw LZMA, before which the entry has its properties.

    No match reaches back beyond the first byte, so a dictionary of the entry's size does as well as a larger one.
    """
    properties = bytes(packed[_LZMA_HEADER_BYTES : _LZMA_HEADER_BYTES + _LZMA_PROPERTIES_BYTES])
    if len(properties) < _LZMA_PROPERTIES_BYTES or packed[2] != _LZMA_PROPERTIES_BYTES or packed[3]:
        raise DamagedEntry("The entry's LZMA properties are damaged.")
    contexts, dictionary_bytes = properties[0], int.from_bytes(properties[1:], "little")
    position_bits, rest = divmod(contexts, 9 * 5)
    literal_position_bits, literal_context_bits = divmod(rest, 9)
    if contexts >= _LZMA_CONTEXTS_END or literal_context_bits + literal_position_bits > _LZMA_CONTEXT_BITS_MAX:
        raise DamagedEntry("The entry's LZMA properties are damaged.")
    stream = lzma.LZMADecompressor(
        lzma.FORMAT_RAW,
        filters=[
            {
                "id": lzma.FILTER_LZMA1,
                "dict_size": max(_LZMA_DICTIONARY_MIN_BYTES, min(dictionary_bytes, expected_bytes)),
                "lc": literal_context_bits,
                "lp": literal_position_bits,
                "pb": position_bits,
            }
        ],
    )
    packed = packed[_LZMA_HEADER_BYTES + _LZMA_PROPERTIES_BYTES :]
    if flags & FLAG_END_MARKER:
        return _streamed(stream, packed, expected_bytes, "LZMA")
    try:
        return stream.decompress(packed, expected_bytes)  # only the declared size says where the stream ends
    except lzma.LZMAError as error:
        raise DamagedEntry("The entry's LZMA stream is damaged.") from error


def _zstandard(packed: memoryview, expected_bytes: int, _flags: int) -> bytes:
    """Inflate Zstandard frames.

    libzstd refuses a window of more than 128 MiB. It writes to no more of it than it inflates.
    """
    room = np.empty(expected_bytes, np.uint8).data  # takes memory only where it is written to
    try:
        return bytes(room[: cramjam.zstd.decompress_into(packed, room)])
    except cramjam.DecompressionError as error:
        raise DamagedEntry("The entry's Zstandard stream is damaged, or longer than its header says.") from error


def _streamed(stream: Any, packed: memoryview, expected_bytes: int, name: str) -> bytes:
    """Inflate at most one byte more than expected, so that a longer entry is noticed without inflating all of it."""
    try:
        data: bytes = stream.decompress(packed, expected_bytes + 1)
    except (zlib.error, lzma.LZMAError, OSError) as error:  # OSError is that of bzip2
        raise DamagedEntry(f"The entry's {name} stream is damaged.") from error
    if len(data) <= expected_bytes and not stream.eof:
        raise DamagedEntry(f"The entry's {name} stream is cut short.")
    return data


METHODS: Final[Mapping[int, Method]] = MappingProxyType(
    {
        0: Method(_stored, 0),
        8: Method(_deflate, 0),
        12: Method(_bzip2, 8),
        14: Method(_lzma, 1),
        93: Method(_zstandard, 0),
    }
)
"""By their numbers in the format."""
_OTHERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "Shrink",
        2: "Reduce",
        3: "Reduce",
        4: "Reduce",
        5: "Reduce",
        6: "Implode",
        9: "Deflate64",
        10: "PKWARE's Implode",
        16: "IBM CMPSC",
        18: "IBM Terse",
        19: "IBM LZ77",
        20: "an old Zstandard",
        94: "MP3",
        95: "XZ",
        96: "packed JPEG",
        97: "WavPack",
        98: "PPMd",
        99: "AES encryption",
    }
)


def name_of(method: int) -> str:
    """Return the name of a method that is not read, with its number."""
    return f"{_OTHERS[method]} (method {method})" if method in _OTHERS else f"method {method}"
