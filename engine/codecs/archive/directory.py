"""Reads the directory of an untrusted zip archive, within the limits.

It is parsed here because the standard library's zipfile creates an object of half a kilobyte for each entry before the
entries can be counted, and takes 10 µs for each. Sizes in headers are used to refuse an archive only: no memory is
allocated for a declared size.

References
----------
.. [1] PKWARE, APPNOTE.TXT, .ZIP File Format Specification, version 6.3.10.
.. [2] D. Fifield, "A better zip bomb", WOOT 2019: why overlapping entries are refused.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from engine.codecs.archive import extra_fields, names
from engine.codecs.formats import ZIP_END_MAGIC, ZIP_LOCAL_MAGIC
from engine.errors import ArchiveOverlaps, ArchiveTooLarge, DamagedArchive, TooManyEntries
from engine.limits import Limits

_ENTRY_MAGIC = b"PK\x01\x02"
_END64_MAGIC = b"PK\x06\x06"
_LOCATOR64_MAGIC = b"PK\x06\x07"
_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_TAIL_BYTES = 66_000  # the end record begins at most this far from the end of the payload, as Info-ZIP has it
_IN_EXTRA = 0xFFFFFFFF  # the value is in the zip64 extra field


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the central directory declares it; nothing of it is verified yet."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    inflated_bytes: int
    header_at: int

    @property
    def is_directory(self) -> bool:
        """True if the name ends in a slash, which by convention means a directory without content."""
        return self.name.endswith(("/", "\\"))


def has_end_record(payload: bytes) -> bool:
    """Return whether the payload ends as a zip archive does; a comment or some other bytes may follow."""
    return _end_at(payload) >= 0


def directory(payload: bytes, limits: Limits) -> list[Entry]:
    """List the entries of an archive, in central-directory order.

    Bytes before the archive (a self-extracting program, a picture) and up to 64 KiB after it are tolerated.

    Raises
    ------
    DamagedArchive
        If there is no end record, or the directory does not lie where it says.
    TooManyEntries, ArchiveTooLarge, ArchiveOverlaps
        As their names say. The declared sizes decide, before anything is inflated.
    """
    end_at = _end_at(payload)
    if end_at < 0:
        raise DamagedArchive("The zip archive has no end record: it is cut short.")
    size, offset, directory_end = _directory_place(payload, end_at)
    start = directory_end - size
    shift = start - offset  # the bytes before the archive
    if start < 0 or shift < 0:
        raise DamagedArchive("The zip archive's directory does not lie where its end record says.")
    entries = list(_walk(payload, start, directory_end, shift, limits))
    claimed = sum(entry.inflated_bytes for entry in entries if entry.inflated_bytes <= limits.entry_bytes)
    if claimed > limits.inflated_bytes:
        raise ArchiveTooLarge(
            f"The archive's entries inflate to {claimed:,} bytes; at most {limits.inflated_bytes:,} are allowed."
        )
    _refuse_overlaps(payload, entries, start, size)
    return entries


def data_at(payload: bytes, entry: Entry) -> int:
    """Return the offset of the entry's packed bytes, after its local header; that header's offset if it is invalid."""
    at = entry.header_at
    if at + _LOCAL.size > len(payload) or payload[at : at + 4] != ZIP_LOCAL_MAGIC:
        return at
    *_, name_len, extra_len = _LOCAL.unpack_from(payload, at)
    return int(at + _LOCAL.size + name_len + extra_len)


def _end_at(payload: bytes) -> int:
    magic_ends = max(0, len(payload) - _END.size + len(ZIP_END_MAGIC))  # at the latest, if the record is whole
    return payload.rfind(ZIP_END_MAGIC, max(0, len(payload) - _TAIL_BYTES), magic_ends)


def _directory_place(payload: bytes, end_at: int) -> tuple[int, int, int]:
    """Return size and declared offset of the directory, and the offset at which it really ends."""
    *_, size, offset, _ = _END.unpack_from(payload, end_at)
    locator_at = end_at - _LOCATOR64.size
    if locator_at < 0 or payload[locator_at : locator_at + 4] != _LOCATOR64_MAGIC:
        return size, offset, end_at
    end64_at = locator_at - _END64.size  # an extensible data sector, which no archiver writes, would come between them
    if end64_at < 0 or payload[end64_at : end64_at + 4] != _END64_MAGIC:
        raise DamagedArchive("The zip archive's zip64 end record does not lie where it should.")
    *_, size, offset = _END64.unpack_from(payload, end64_at)
    return size, offset, end64_at


def _walk(payload: bytes, at: int, end: int, shift: int, limits: Limits) -> Iterator[Entry]:
    count = 0
    while at < end:
        if at + _ENTRY.size > end or payload[at : at + 4] != _ENTRY_MAGIC:
            raise DamagedArchive("The zip archive's directory is damaged.")
        count += 1
        if count > limits.entries:
            raise TooManyEntries(f"The zip archive has more than {limits.entries:,} entries.")
        _, _, _, flags, method, *_ = fields = _ENTRY.unpack_from(payload, at)
        crc, packed, inflated, name_len, extra_len, comment_len, *_, header_at = fields[7:]
        name_at = at + _ENTRY.size
        extra_at = name_at + name_len
        at = extra_at + extra_len + comment_len
        if at > end:
            raise DamagedArchive("The zip archive's directory is damaged.")
        raw_name, extra = payload[name_at:extra_at], payload[extra_at : extra_at + extra_len]
        if _IN_EXTRA in (packed, inflated, header_at):
            inflated, packed, header_at = _from_extra(extra, inflated, packed, header_at)
        yield Entry(names.decode(raw_name, flags, extra), flags, method, crc, packed, inflated, header_at + shift)


def _from_extra(extra: bytes, *claims: int) -> list[int]:
    """Read the numbers that do not fit into 32 bits from the zip64 extra field, in this order."""
    body = extra_fields.find(extra, extra_fields.ZIP64) or b""
    values = struct.iter_unpack("<Q", body[: len(body) // 8 * 8])
    try:
        return [next(values)[0] if claim == _IN_EXTRA else claim for claim in claims]
    except StopIteration:
        raise DamagedArchive("The zip archive's directory lacks a zip64 field.") from None


def _refuse_overlaps(payload: bytes, entries: list[Entry], directory_at: int, directory_bytes: int) -> None:
    places = [(entry.header_at, data_at(payload, entry) + entry.packed_bytes) for entry in entries]
    places.append((directory_at, directory_at + directory_bytes))
    places.sort()
    for (_, end), (next_at, _) in itertools.pairwise(places):
        if end > next_at:
            raise ArchiveOverlaps("Entries of the zip archive share the same bytes.")
