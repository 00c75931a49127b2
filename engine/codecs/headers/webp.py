"""Checks untrusted WebP files: all chunks are walked before a pixel is decoded.

References
----------
.. [1] Google, WebP Container Specification; RFC 6386 (VP8), section 9.1; WebP Lossless Bitstream Specification.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from engine.codecs.headers.exif import read_orientation, read_xmp_orientation
from engine.errors import DamagedImage, TooManyFrames, TooManyParts
from engine.limits import Limits

_RIFF_HEADER_BYTES: Final = 12
_CHUNK: Final = struct.Struct("<4sI")
_HEAD_BYTES: Final = 10  # of a chunk's body, which hold its dimensions
_LOSSLESS: Final = frozenset({b"VP8L", b"ALPH", b"ANMF"})  # chunks that are or may contain a lossless picture
_GROUPS: Final = 1 << 16  # group numbers have 16 bits
_GROUP_BITS: Final = 20  # bits that a group takes in the file, at least
_BLOCK_PX: Final = 4  # side of the block of pixels that shares a group, at least
_SIDE_14: Final = 0x3FFF  # VP8 and VP8L have 14 bits for a side


class WebP(NamedTuple):
    """The result of `walk`."""

    width: int
    height: int
    orientation: int
    code_groups: int
    """The most groups of prefix codes that a lossless picture can have; the decoder builds tables for each."""


def walk(data: bytes, limits: Limits) -> WebP:
    """Read dimensions and orientation, and count frames.

    Raises
    ------
    DamagedImage
        If the file is cut short or has no picture.
    TooManyParts, TooManyFrames
        If it has more chunks or frames than the limits.
    """
    width = height = frames = 0
    lossless = False
    in_exif = in_xmp = 0
    at = _RIFF_HEADER_BYTES
    end = 8 + int.from_bytes(data[4:8], "little")
    for _ in range(limits.parts + 1):
        if at + _CHUNK.size > end:
            break
        if end > len(data):
            raise DamagedImage("The WebP file is cut short.")
        kind, length = _CHUNK.unpack_from(data, at)
        body = at + _CHUNK.size
        across, down = _dimensions(kind, data[body : body + _HEAD_BYTES])
        width, height = max(width, across), max(height, down)  # whichever of them the decoder uses
        frames += kind == b"ANMF"
        lossless |= kind in _LOSSLESS
        if kind == b"EXIF":
            in_exif = read_orientation(data[body : body + length])
        elif kind == b"XMP ":
            in_xmp = read_xmp_orientation(data[body : body + length])
        at = body + length + length % 2
    else:
        raise TooManyParts(f"The WebP file has more than {limits.parts:,} chunks.")
    if frames > limits.frames:
        raise TooManyFrames(f"The animation has {frames:,} frames; at most {limits.frames:,} are allowed.")
    if not width:
        raise DamagedImage("The WebP file has no pixels.")
    blocks = -(-width // _BLOCK_PX) * -(-height // _BLOCK_PX)
    return WebP(width, height, in_exif or in_xmp, min(_GROUPS, blocks, len(data) * 8 // _GROUP_BITS) if lossless else 0)


def _dimensions(kind: bytes, head: bytes) -> tuple[int, int]:
    """Return width and height if this chunk contains them, else 0 and 0."""
    if len(head) < _HEAD_BYTES:
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & _SIDE_14), 1 + (bits >> 14 & _SIDE_14)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & _SIDE_14, int.from_bytes(head[8:10], "little") & _SIDE_14
    return 0, 0
