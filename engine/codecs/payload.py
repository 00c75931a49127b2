"""What a payload holds: one image, or a zip archive of images.

sniff   the first bytes decide, never a header or a file name
open    an archive's directory is walked and judged; nothing is inflated yet
items   one entry after the other, inflated when it is asked for and forgotten by us at once
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.codecs import archive
from engine.codecs.formats import ZIP_END_MAGIC, ZIP_LOCAL_MAGIC, image_format
from engine.errors import (
    EmptyArchive,
    EmptyRecord,
    EngineError,
    NameTooLong,
    NestedArchive,
    RecordTooLarge,
    UnknownFormat,
    unforeseen,
)
from engine.limits import Limits

_METADATA_FOLDER = "__MACOSX"
_METADATA_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


@dataclass(slots=True)
class Item:
    """One image of a payload, or why there is none."""

    index: int
    """Counts from 0, in the order of the archive's directory."""
    name: str | None
    """The entry's name as the archive gives it: a label, never a path. None for a payload that is an image."""
    data: bytes | None
    """The encoded image; None if it could not be had within the limits."""
    error: EngineError | None
    """Why this item is lost; None if `data` may be decoded."""
    left_out: str | None
    """Why `data` is None."""


class Payload:
    """An opened payload. `items` may be called again; it starts anew."""

    def __init__(self, payload: bytes, entries: list[archive.Entry] | None, limits: Limits) -> None:
        self._payload = payload
        self._entries = entries
        self._limits = limits

    @property
    def count(self) -> int:
        """Items that `items` will yield: at least 1."""
        return 1 if self._entries is None else len(self._entries)

    @property
    def is_image(self) -> bool:
        """True if the payload itself is the one item."""
        return self._entries is None

    @property
    def size_bytes(self) -> int:
        """Bytes as it came."""
        return len(self._payload)

    def names(self) -> Iterator[str | None]:
        """Yield the items' names, as `items` does: None where there is none, or it is too long."""
        if self._entries is None:
            yield None
            return
        for entry in self._entries:
            yield self._name(entry)

    def items(self, begin: int = 0) -> Iterator[Item]:
        """Yield the items from an index on; an archive's entries are inflated one at a time."""
        if self._entries is None:
            yield Item(0, None, self._payload, None, None)
            return
        for index in range(begin, len(self._entries)):
            yield self._item(index, self._entries[index])

    def _name(self, entry: archive.Entry) -> str | None:
        return entry.name if len(entry.name) <= self._limits.name_characters else None

    def _item(self, index: int, entry: archive.Entry) -> Item:
        name = self._name(entry)
        try:
            data = archive.inflate(self._payload, entry, self._limits)
        except Exception as cause:  # noqa: BLE001  # a fault of ours in unpacking costs this entry, not the worker
            error = unforeseen("Unpacking the entry", cause)
            return Item(index, name, None, error, f"not unpacked: {error.code}")
        return Item(index, name, data, self._complaint(entry, data), None)

    def _complaint(self, entry: archive.Entry, data: bytes) -> EngineError | None:
        if len(entry.name) > self._limits.name_characters:
            return NameTooLong(
                f"The entry's name has {len(entry.name):,} characters; "
                f"at most {self._limits.name_characters:,} are allowed."
            )
        if image_format(data) is None and is_archive(data):
            return NestedArchive("The entry is itself a zip archive.")
        return None


def is_archive(payload: bytes) -> bool:
    """Tell whether bytes that are no image are a zip archive, perhaps with foreign bytes before it."""
    return payload.startswith((ZIP_LOCAL_MAGIC, ZIP_END_MAGIC)) or archive.has_end(payload)


def open_payload(payload: bytes, limits: Limits) -> Payload:
    """Find out what a payload is and how many items it has.

    An image that has an archive behind it is an image: the first bytes decide.

    Raises
    ------
    EmptyRecord, RecordTooLarge, UnknownFormat
        If there is nothing to open.
    DamagedArchive, EmptyArchive, TooManyEntries, ArchiveTooLarge, ArchiveOverlaps
        If an archive is lost as a whole.
    """
    if not payload:
        raise EmptyRecord("There are no bytes.")
    if len(payload) > limits.record_bytes:
        raise RecordTooLarge(f"The record has {len(payload):,} bytes; at most {limits.record_bytes:,} are allowed.")
    if image_format(payload) is not None:
        return Payload(payload, None, limits)
    if not is_archive(payload):
        raise UnknownFormat("The bytes are neither an accepted image format nor a zip archive.")
    entries = [entry for entry in archive.directory(payload, limits) if not _is_left_out(entry)]
    if not entries:
        raise EmptyArchive("The zip archive has no entry that could be an image.")
    return Payload(payload, entries, limits)


def _is_left_out(entry: archive.Entry) -> bool:
    """Name what operating systems put into archives beside the files: directories and their own metadata."""
    if entry.is_directory:
        return True
    folders, _, file = entry.name.replace("\\", "/").rpartition("/")
    return file.lower() in _METADATA_FILES or _METADATA_FOLDER in folders.split("/") or file == _METADATA_FOLDER
