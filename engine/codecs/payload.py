"""Opens a payload: one image, or a zip archive of images.

sniff   the first bytes decide the type, never a header or a file name
open    the directory of an archive is read and checked; nothing is inflated yet
items   entries are inflated one by one on demand, and no reference to their bytes is kept
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.codecs import foreign
from engine.codecs.archive.directory import Entry, directory, has_end_record
from engine.codecs.archive.inflate import inflate
from engine.codecs.archive.names import is_metadata
from engine.codecs.formats import ZIP_END_MAGIC, ZIP_LOCAL_MAGIC, image_format
from engine.codecs.pixels.room import Charge, free
from engine.errors import (
    EmptyArchive,
    EmptyRecord,
    EngineError,
    NameTooLong,
    NestedArchive,
    RecordTooLarge,
    UnknownFormat,
    as_engine_error,
)
from engine.limits import Limits


@dataclass(slots=True)
class Item:
    """One image of a payload, or the reason why it is missing."""

    index: int
    """Counts from 0, in the order of the archive's directory."""
    name: str | None
    """The entry's name in the archive: a label, never used as a path. None if the payload is an image."""
    data: bytes | None
    """The encoded image; None if it could not be inflated within the limits."""
    error: EngineError | None
    """The error of this item; None if `data` may be decoded."""
    left_out: str | None
    """Why `data` is None."""


class Payload:
    """An opened payload. Each call of `items` starts from the beginning."""

    def __init__(self, payload: bytes, entries: list[Entry] | None, limits: Limits) -> None:
        self._payload = payload
        self._entries = entries
        self._limits = limits

    @property
    def count(self) -> int:
        """The number of items, at least 1."""
        return 1 if self._entries is None else len(self._entries)

    @property
    def is_image(self) -> bool:
        """True if the payload is an image itself and its only item."""
        return self._entries is None

    @property
    def size_bytes(self) -> int:
        """Size of the payload."""
        return len(self._payload)

    def names(self) -> Iterator[str | None]:
        """Yield the names in the order of `items`; None where there is none or it is too long."""
        if self._entries is None:
            yield None
            return
        for entry in self._entries:
            yield self._name(entry)

    def items(self, begin: int = 0, charge: Charge = free) -> Iterator[Item]:
        """Yield the items from an index on; entries of an archive are inflated one at a time.

        Parameters
        ----------
        begin
            The first index.
        charge
            Called before an entry is inflated by a slow method, with the cost in bytes to decode. If it raises an
            `EngineError`, the entry is not inflated.
        """
        if self._entries is None:
            yield Item(0, None, self._payload, None, None)
            return
        for index in range(begin, len(self._entries)):
            yield self._item(index, self._entries[index], charge)

    def _name(self, entry: Entry) -> str | None:
        return entry.name if len(entry.name) <= self._limits.name_characters else None

    def _item(self, index: int, entry: Entry, charge: Charge) -> Item:
        name = self._name(entry)
        try:
            data = inflate(self._payload, entry, self._limits, charge)
        except Exception as cause:  # noqa: BLE001  # an error of the engine must cost this entry only
            error = as_engine_error("Unpacking the entry", cause)
            return Item(index, name, None, error, f"not unpacked: {error.code}")
        return Item(index, name, data, self._entry_error(entry, data), None)

    def _entry_error(self, entry: Entry, data: bytes) -> EngineError | None:
        if len(entry.name) > self._limits.name_characters:
            return NameTooLong(
                f"The entry's name has {len(entry.name):,} characters; "
                f"at most {self._limits.name_characters:,} are allowed."
            )
        if image_format(data) is None and is_archive(data):
            return NestedArchive("The entry is itself a zip archive.")
        return None


def is_archive(payload: bytes) -> bool:
    """Return whether bytes that are not an image are a zip archive.

    Other bytes may come before it, but not an archive of another kind: the zip archive would be one file of many in it.
    """
    if payload.startswith((ZIP_LOCAL_MAGIC, ZIP_END_MAGIC)):
        return True
    return has_end_record(payload) and not foreign.is_archive(payload)


def open_payload(payload: bytes, limits: Limits) -> Payload:
    """Find out what a payload is and how many items it has.

    An image that is followed by an archive is an image: the first bytes decide.

    Raises
    ------
    EmptyRecord, RecordTooLarge, UnknownFormat
        If the payload is empty, too large, or neither an image nor an archive.
    DamagedArchive, EmptyArchive, TooManyEntries, ArchiveTooLarge, ArchiveOverlaps
        If an archive cannot be used as a whole.
    """
    if not payload:
        raise EmptyRecord("There are no bytes.")
    if len(payload) > limits.record_bytes:
        raise RecordTooLarge(f"The record has {len(payload):,} bytes; at most {limits.record_bytes:,} are allowed.")
    if image_format(payload) is not None:
        return Payload(payload, None, limits)
    if not is_archive(payload):
        raise UnknownFormat(
            f"The bytes are neither an accepted image format nor a zip archive{foreign.clause(payload)}."
        )
    entries = [entry for entry in directory(payload, limits) if not (entry.is_directory or is_metadata(entry.name))]
    if not entries:
        raise EmptyArchive("The zip archive has no entry that could be an image.")
    return Payload(payload, entries, limits)
