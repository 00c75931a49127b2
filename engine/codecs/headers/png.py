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
from functools import lru_cache
from typing import Final, NamedTuple

import deflate

from engine.codecs.headers import png_orientation
from engine.codecs.headers.png_header import Header, parse_header
from engine.errors import DamagedImage, TooManyFrames, TooManyParts
from engine.limits import Limits

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_ANCILLARY: Final = 0x20  # the bit of a chunk's first letter that makes it a small one: the picture needs no such chunk
_FRAMING_BYTES: Final = 12  # of a chunk: length, kind, checksum
_CHUNK: Final = struct.Struct(">I4s")
_CHECKSUM: Final = struct.Struct(">I")
_PLAIN: Final = struct.Struct(">8x25sI4s")
"""The beginning of a plain file: the signature, the chunk of the header, length and kind of the chunk of pixels."""
_PLAIN_CHUNKS: Final = 3
_END: Final = b"\0\0\0\0IEND" + _CHECKSUM.pack(zlib.crc32(b"IEND"))
_HEADERS_KEPT: Final = 64
_INFLATED_PIECE_BYTES: Final = 1 << 16


class Png(NamedTuple):
    """The result of `walk`."""

    header: Header
    has_transparent_colour: bool
    orientation: int
    data: bytes
    """The file with its critical chunks only."""
    deflated: bytes
    """The bodies of its IDAT chunks."""
    has_end: bool = True
    """False if the file ends without the chunk that marks its end: then `check_pixels` finds out what is missing."""


def walk(data: bytes, limits: Limits) -> Png:
    """Check structure and checksums of a PNG file.

    As in the viewers that use libpng, an ancillary chunk with a wrong checksum is left out, and after the first pixels
    the file may end anywhere.

    Raises
    ------
    DamagedImage
        If it is cut short before its pixels, the checksum of a critical chunk is wrong, or such a chunk is missing or
        impossible.
    TooManyParts, TooManyFrames
        If it has more chunks or frames than the limits.
    """
    chunks, rest_at = _chunks(data, limits)
    kinds = [kind for kind, _, _ in chunks]
    if not kinds or kinds[0] != b"IHDR":
        raise DamagedImage("The PNG file does not begin with a header.")
    if kinds.count(b"IHDR") > 1:  # a decoder may use the last one, whose dimensions have not been checked
        raise DamagedImage("The PNG file has two headers.")
    rest = _cut_pixels(data, rest_at)
    if b"IDAT" not in kinds and not rest:
        raise DamagedImage("The PNG file has no pixels.")
    header = parse_header(data[chunks[0][1] + 8 : chunks[0][2] - 4])
    deflated = b"".join(data[at + 8 : end - 4] for kind, at, end in chunks if kind == b"IDAT") + rest
    if kinds.count(b"fcTL") > limits.frames:
        raise TooManyFrames(f"The animation has more than {limits.frames:,} frames.")
    texts = ((kind, data[at + 8 : end - 4]) for kind, at, end in chunks if kind in png_orientation.KINDS)
    orientation = png_orientation.read(texts)
    kept = [data[at:end] for kind, at, end in chunks if kind in _KEPT]
    if rest:
        kept.append(_chunk(b"IDAT", rest))
    if kinds[-1] != b"IEND":
        kept.append(_chunk(b"IEND", b""))
    return Png(header, b"tRNS" in kinds, orientation, MAGIC + b"".join(kept), deflated, kinds[-1] == b"IEND")


def check_pixels(found: Png) -> None:
    """Check that a file without an end has all pixels, after its size has been held against the limits.

    Raises
    ------
    DamagedImage
        If it has not.
    """
    missing_bytes = found.header.filtered_bytes
    stream = zlib.decompressobj()
    for at in range(0, len(found.deflated), _INFLATED_PIECE_BYTES):
        rest = found.deflated[at : at + _INFLATED_PIECE_BYTES]
        while rest and not stream.eof and missing_bytes >= 0:
            try:
                missing_bytes -= len(stream.decompress(rest, _INFLATED_PIECE_BYTES))
            except zlib.error as error:
                raise DamagedImage("The PNG file's pixels are damaged.") from error
            rest = stream.unconsumed_tail
    if missing_bytes > 0 or not stream.eof:  # libpng wants the checksum of the pixels, too
        raise DamagedImage("The PNG file is cut short.")


def walk_plain(data: bytes, limits: Limits) -> tuple[Header, bytes] | None:
    """Walk a file of header, pixels and end, in one step: most encoders write a small picture like this.

    Returns
    -------
    header and deflated, or None
        As `walk` returns them; all else of a plain file is known. None if it is another file, or if anything is wrong
        with it: `walk` finds out what.
    """
    pixels_at, end_at = _PLAIN.size, len(data) - len(_END)
    if limits.parts < _PLAIN_CHUNKS or end_at < pixels_at or not data.endswith(_END):
        return None
    header_chunk, length, kind = _PLAIN.unpack_from(data)
    checksum_at = end_at - _CHECKSUM.size
    if kind != b"IDAT" or pixels_at + length != checksum_at:
        return None
    if (deflate.crc32(data[pixels_at - len(kind) : checksum_at]),) != _CHECKSUM.unpack_from(data, checksum_at):
        return None
    header = _plain_header(header_chunk)
    return None if header is None else (header, data[pixels_at:checksum_at])


@lru_cache(_HEADERS_KEPT)
def _plain_header(chunk: bytes) -> Header | None:
    """Return the header in a chunk; None if it is another chunk or damaged. The pictures of a stream share few."""
    length, kind = _CHUNK.unpack_from(chunk)
    if kind != b"IHDR" or length != len(chunk) - _FRAMING_BYTES:
        return None
    if (zlib.crc32(chunk[4:-4]),) != _CHECKSUM.unpack_from(chunk, len(chunk) - 4):
        return None
    return parse_header(chunk[8:-4])


def _chunks(data: bytes, limits: Limits) -> tuple[list[tuple[bytes, int, int]], int]:
    """List kind, start and end of each chunk up to IEND, its checksum compared; return, too, where reading ended."""
    chunks: list[tuple[bytes, int, int]] = []
    has_pixels = False
    size = len(data)
    at = len(MAGIC)
    for _ in range(limits.parts):
        if at + _FRAMING_BYTES > size:
            break
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + _FRAMING_BYTES + length
        if end > size:
            break
        if (zlib.crc32(data[at + 4 : end - 4]),) == _CHECKSUM.unpack_from(data, end - 4):
            chunks.append((kind, at, end))
            has_pixels = has_pixels or kind == b"IDAT"
        elif has_pixels and kind != b"IDAT" and not kind[0] & _ANCILLARY:
            break
        elif not kind[0] & _ANCILLARY:
            raise DamagedImage("A chunk of the PNG file does not match its checksum.")
        at = end
        if kind == b"IEND":
            return chunks, at
    else:
        raise TooManyParts(f"The PNG file has more than {limits.parts:,} chunks.")
    return chunks, at


def _cut_pixels(data: bytes, at: int) -> bytes:
    """Return what there is of the pixels in a last chunk that is cut short."""
    if at + _CHUNK.size > len(data):
        return b""
    length, kind = _CHUNK.unpack_from(data, at)
    return data[at + _CHUNK.size :][:length] if kind == b"IDAT" else b""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return _CHUNK.pack(len(body), kind) + body + _CHECKSUM.pack(zlib.crc32(kind + body))
