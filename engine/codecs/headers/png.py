"""Checks untrusted PNG files: all chunks are walked before a pixel is decoded.

The decoder gets the critical chunks only. Text, colour profiles and animation frames, which could inflate to any size,
never reach it.

References
----------
.. [1] W3C, Portable Network Graphics (PNG) Specification (Third Edition), 2025.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

from engine.codecs.headers.exif import UPRIGHT, read_orientation
from engine.errors import DamagedImage, TooManyFrames, TooManyParts
from engine.limits import Limits

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
GREY: Final = 0
"""Colour type: one grey channel."""
_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PLAIN: Final = [b"IHDR", b"IDAT", b"IEND"]
_READ: Final = frozenset({b"IHDR", b"eXIf", b"acTL"})
_FRAMING_BYTES: Final = 12  # of a chunk: length, kind, checksum
_CHUNK: Final = struct.Struct(">I4s")
_CHECKSUM: Final = struct.Struct(">I")
_HEADER: Final = struct.Struct(">IIBBBBB")
_CHANNELS: Final = {
    0: 1,
    2: 3,
    3: 4,
    4: 4,
    6: 4,
}  # decoded, by colour type: grey with alpha becomes RGBA
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type


class Header(NamedTuple):
    """The body of IHDR."""

    width: int
    height: int
    depth: int
    """Bits a channel."""
    colour_type: int
    compression: int
    filtering: int
    interlace: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a decoded pixel; palettes and depths below 8 bits are expanded."""
        return _CHANNELS[self.colour_type] * max(1, self.depth // 8)


class Png(NamedTuple):
    """The result of `walk`."""

    header: Header
    has_transparent_colour: bool
    orientation: int
    data: bytes
    """The file with its critical chunks only."""
    deflated: bytes
    """The bodies of its IDAT chunks."""


def walk(data: bytes, limits: Limits) -> Png:
    """Check structure and checksums of a PNG file.

    Raises
    ------
    DamagedImage
        If it is cut short, a checksum is wrong, or a critical chunk is missing or impossible.
    TooManyParts, TooManyFrames
        If it has more chunks or frames than the limits.
    """
    chunks = _chunks(data, limits)
    kinds = [kind for kind, _, _ in chunks]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds:
        raise DamagedImage("The PNG file has no pixels.")
    if kinds.count(b"IHDR") > 1:  # a decoder may use the last one, whose dimensions have not been checked
        raise DamagedImage("The PNG file has two headers.")
    header = _header(data[chunks[0][1] + 8 : chunks[0][2] - 4])
    if kinds == _PLAIN and chunks[-1][2] == len(data):  # most encoders write a small picture like this
        return Png(header, False, UPRIGHT, data, data[chunks[1][1] + 8 : chunks[1][2] - 4])
    deflated = b"".join(data[at + 8 : end - 4] for kind, at, end in chunks if kind == b"IDAT")
    bodies = {kind: data[at + 8 : end - 4] for kind, at, end in chunks if kind in _READ}
    _check_frames(bodies.get(b"acTL", b""), limits)
    orientation = read_orientation(bodies.get(b"eXIf", b""))
    data = MAGIC + b"".join(data[at:end] for kind, at, end in chunks if kind in _KEPT)
    return Png(header, b"tRNS" in kinds, orientation, data, deflated)


def _chunks(data: bytes, limits: Limits) -> list[tuple[bytes, int, int]]:
    """List kind, start and end of each chunk up to IEND, its checksum compared."""
    chunks: list[tuple[bytes, int, int]] = []
    size = len(data)
    at = len(MAGIC)
    kind = b""
    while kind != b"IEND":
        if at + _FRAMING_BYTES > size:
            raise DamagedImage("The PNG file is cut short.")
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + _FRAMING_BYTES + length
        if end > size:
            raise DamagedImage("The PNG file is cut short.")
        if (zlib.crc32(data[at + 4 : end - 4]),) != _CHECKSUM.unpack_from(data, end - 4):
            raise DamagedImage("A chunk of the PNG file does not match its checksum.")
        chunks.append((kind, at, end))
        at = end
        if len(chunks) > limits.parts:
            raise TooManyParts(f"The PNG file has more than {limits.parts:,} chunks.")
    return chunks


def _header(body: bytes) -> Header:
    if len(body) != _HEADER.size:
        raise DamagedImage("The PNG file has no valid header.")
    header = Header._make(_HEADER.unpack(body))
    if (
        header.depth not in _DEPTHS.get(header.colour_type, ())
        or header.compression
        or header.filtering
        or header.interlace > 1
    ):
        raise DamagedImage("The PNG file's header is impossible.")
    return header


def _check_frames(control: bytes, limits: Limits) -> None:
    frames = int.from_bytes(control[:4], "big")
    if frames > limits.frames:
        raise TooManyFrames(f"The animation has {frames:,} frames; at most {limits.frames:,} are allowed.")
