"""Write zip archives whose headers claim anything."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import cramjam

from tests.hostile.case import SEVEN

STORED, DEFLATED, DEFLATE64, BZIP2, LZMA, ZSTANDARD, XZ, PPMD, AES = 0, 8, 9, 12, 14, 93, 95, 98, 99
ENCRYPTED, END_MARKER, DESCRIPTOR, STRONGLY_ENCRYPTED, UTF8 = 0x0001, 0x0002, 0x0008, 0x0041, 0x0800
IN_EXTRA = 0xFFFF_FFFF
"""A size that says: look in the zip64 field."""


@dataclass(frozen=True)
class Entry:
    """What is packed, and what the headers say of it; None says the truth."""

    name: bytes = b"7.png"
    data: bytes = SEVEN
    method: int = DEFLATED
    flags: int = 0
    packed: bytes | None = None
    crc: int | None = None
    inflated_bytes: int | None = None
    packed_bytes: int | None = None
    header_at: int | None = None
    """Where the directory says that the entry lies, counted from the archive's first byte."""
    extra: bytes = b""
    """Of the directory."""
    local: tuple[int, int, int] | None = None
    """Checksum, packed and inflated bytes as the local header has them."""
    after: bytes = b""
    """What follows the packed bytes."""
    shared: bool = False
    """Nothing is packed: the directory names the place of an entry before."""


def deflated(data: bytes) -> bytes:
    """Compress without zlib's framing, as archives do."""
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def lzma_packed(data: bytes, *, dictionary_bytes: int = 1 << 20) -> bytes:
    """Compress by LZMA as archives do: version, properties with their size, and a stream that ends with a marker."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": 1 << 20}]
    header = bytes([9, 20, 5, 0, 93]) + dictionary_bytes.to_bytes(4, "little")
    return header + lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


def zstandard(data: bytes) -> bytes:
    """Compress by Zstandard: one frame, which says how large its content is."""
    return bytes(cramjam.zstd.compress(data))


PACKERS: Final[Mapping[int, Callable[[bytes], bytes]]] = MappingProxyType(
    {STORED: bytes, DEFLATED: deflated, BZIP2: bz2.compress, LZMA: lzma_packed, ZSTANDARD: zstandard}
)
"""By method; an entry of any other method is deflated."""


def local_header(name: bytes, method: int, claims: tuple[int, int, int], flags: int = 0) -> bytes:
    """Write what stands before an entry's bytes; claims are checksum, packed and inflated bytes."""
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", 45, flags, method, 0, 0x21, *claims, len(name), 0) + name


def archive(*entries: Entry, comment: bytes = b"", end: tuple[int, int] | None = None, end64: bytes = b"") -> bytes:
    """Write an archive.

    Parameters
    ----------
    entries
        In the order of the directory.
    comment
        After the end record.
    end
        Size and offset of the directory as the end record has them; by default as they are.
    end64
        What stands between directory and end record.
    """
    body = b""
    directory = b""
    for entry in entries:
        packed = _packed(entry)
        directory += directory_entry(entry if entry.header_at is not None else replace(entry, header_at=len(body)))
        if not entry.shared:
            header = local_header(entry.name, entry.method, entry.local or _claims(entry, packed), entry.flags)
            body += header + packed + entry.after
    size, offset = end or (len(directory), len(body))
    count = len(entries) & 0xFFFF
    record = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, size, offset, len(comment))
    return body + directory + end64 + record + comment


def directory_entry(entry: Entry) -> bytes:
    """Write an entry's line of the directory."""
    numbers = (*_claims(entry, _packed(entry)), len(entry.name), len(entry.extra), 0, 0, 0, 0, entry.header_at or 0)
    fixed = (b"PK\x01\x02", 45, 45, entry.flags, entry.method, 0, 0x21)
    return struct.pack("<4s6H3I5H2I", *fixed, *numbers) + entry.name + entry.extra


def _packed(entry: Entry) -> bytes:
    if entry.packed is not None:
        return entry.packed
    return PACKERS.get(entry.method, deflated)(entry.data)


def _claims(entry: Entry, packed: bytes) -> tuple[int, int, int]:
    return (
        zlib.crc32(entry.data) if entry.crc is None else entry.crc,
        len(packed) if entry.packed_bytes is None else entry.packed_bytes,
        len(entry.data) if entry.inflated_bytes is None else entry.inflated_bytes,
    )


def end64(size: int, offset: int, count: int, *, at: int) -> bytes:
    """Write the zip64 end record that lies at `at`, and its locator."""
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)


def zip64_field(*values: int) -> bytes:
    """Write the extra field that holds what does not fit into 32 bits."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def unicode_path(raw: bytes, name: bytes, *, version: int = 1, crc: int | None = None) -> bytes:
    """Write the extra field in which Info-ZIP keeps a name in UTF-8, for an entry of this raw name."""
    body = struct.pack("<BI", version, zlib.crc32(raw) if crc is None else crc) + name
    return struct.pack("<2H", 0x7075, len(body)) + body
