"""Writes image files field by field, for what no encoder would write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3
BYTE, SHORT, LONG, RATIONAL = 1, 3, 4, 5
"""Types of TIFF's fields."""
_TYPE_BYTES: Final = {BYTE: 1, 2: 1, SHORT: 2, LONG: 4, RATIONAL: 8, 7: 1}


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write one chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, depth: int = 8, colour_type: int = GREY, interlace: int = 0) -> bytes:
    """Write the body of IHDR."""
    return struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, interlace)


def png(header: bytes, rows: bytes, *extra: bytes) -> bytes:
    """Write a PNG file: rows with their filter bytes, and chunks between header and pixels."""
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return PNG_MAGIC + b"".join(parts)


def after_header(data: bytes, *chunks: bytes) -> bytes:
    """Put chunks after the header of a PNG file."""
    at = len(PNG_MAGIC) + 25
    return data[:at] + b"".join(chunks) + data[at:]


def segment(marker: int, body: bytes) -> bytes:
    """Write one segment of a JPEG file."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def in_jpeg(data: bytes, *segments: bytes) -> bytes:
    """Put segments after the first marker of a JPEG file."""
    return data[:2] + b"".join(segments) + data[2:]


def riff(kind: bytes, body: bytes) -> bytes:
    """Write one chunk of a WebP file."""
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    """Write a WebP file of chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def box(kind: bytes, *parts: bytes) -> bytes:
    """Write one box of a HEIF or AVIF file."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def heif(*boxes: bytes, brand: bytes = b"heic", after: bytes = b"") -> bytes:
    """Write a HEIF or AVIF file whose first picture is item 1."""
    handler = box(b"hdlr", bytes(8), b"pict", bytes(13))
    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    return head + box(b"meta", bytes(4), handler, box(b"pitm", bytes(4), b"\x00\x01"), *boxes) + after


def sized(*sizes: tuple[int, int], of: dict[int, list[int]]) -> bytes:
    """Write the box of properties: sizes, and which of them, counted from 1, each item has."""
    properties = [box(b"ispe", struct.pack(">3I", 0, width, height)) for width, height in sizes]
    items = b"".join(struct.pack(">HB", item, len(numbers)) + bytes(numbers) for item, numbers in of.items())
    return box(b"iprp", box(b"ipco", *properties), box(b"ipma", struct.pack(">2I", 0, len(of)), items))


def made_of(item: int, *others: int) -> bytes:
    """Write the box that says that a picture is made of others."""
    return box(b"iref", bytes(4), box(b"dimg", struct.pack(f">2H{len(others)}H", item, len(others), *others)))


def tiff(fields: dict[int, tuple[int, int]], *, after: bytes = b"", next_at: int = 0, count: int = 1) -> bytes:
    """Write a TIFF file of one directory: type and value by tag, each with the same count."""
    lines = b"".join(struct.pack("<2H2I", tag, kind, count, value) for tag, (kind, value) in sorted(fields.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + lines + struct.pack("<I", next_at) + after


def tiff_of(fields: dict[int, tuple[int, bytes]], *, after: Callable[[int], dict[int, tuple[int, bytes]]]) -> bytes:
    """Write a TIFF file of one directory with values of any number.

    Parameters
    ----------
    fields
        Type and packed values by tag.
    after
        Called with the offset of the bytes after the directory; returns further fields.
    """
    size = len(fields) + len(after(0))
    values_at = 8 + 2 + size * 12 + 4
    given = fields | after(0)
    data_at = values_at + sum(len(values) for _, values in given.values() if len(values) > 4)
    lines, outside = b"", b""
    for tag, (kind, values) in sorted((fields | after(data_at)).items()):
        head = struct.pack("<2HI", tag, kind, len(values) // _TYPE_BYTES[kind])
        if len(values) > 4:
            lines += head + struct.pack("<I", values_at + len(outside))
            outside += values
        else:
            lines += head + values.ljust(4, b"\0")
    return struct.pack("<2sHIH", b"II", 42, 8, size) + lines + bytes(4) + outside


def bmp(width: int, height: int, pixels: bytes, *, bits: int = 8, compression: int = 0) -> bytes:
    """Write a BMP file with a palette of greys if it has one."""
    palette = b"".join(bytes([grey] * 3 + [0]) for grey in range(256)) if bits <= 8 else b""
    offset = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    return head + struct.pack("<I2i2H6I", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0) + palette + pixels


def gif(width: int, height: int, codes: bytes, *, frame: tuple[int, int] | None = None, count: int = 1) -> bytes:
    """Write a GIF file whose frames hold these LZW codes."""
    across, down = frame or (width, height)
    image = struct.pack("<B4HB", 0x2C, 0, 0, across, down, 0) + b"\x08" + _pieces(codes)
    return struct.pack("<6s2H3B", b"GIF89a", width, height, 0xF7, 0, 0) + bytes(768) + image * count + b";"


def _pieces(codes: bytes) -> bytes:
    cut = [codes[at : at + 255] for at in range(0, len(codes), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in cut) + b"\x00"
