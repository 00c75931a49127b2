"""Why bytes do not become a digit: one class per kind, in the order in which they can happen.

::

    payload ──► archive ──► entry ──► picture ──► digit
       │           │          │          │          └ OutOfMemory, InternalError
       │           │          │          └ ImageTooLarge … DamagedImage
       │           │          └ NameTooLong … NestedArchive: this entry alone is lost
       │           └ DamagedArchive … ArchiveOverlaps: the archive is lost as a whole
       └ EmptyRecord, RecordTooLarge, UnknownFormat

A class carries the code that is published, so that nobody needs a table. ``str(error)`` is one sentence for a person;
control characters that a file brought along are escaped, so that logs and terminals stay clean.
"""

# ruff: noqa: N818  # the names are read as what happened (`except DamagedEntry`); all of them are errors

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Something about the input, or about this attempt at it; never a fault of the program that calls."""

    code: ClassVar[str]

    def __str__(self) -> str:
        """Return the sentence, with what is not printable escaped."""
        text = super().__str__()
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


class EmptyRecord(EngineError):
    """There is not one byte."""

    code = "empty-record"


class RecordTooLarge(EngineError):
    """The payload has more bytes than `Limits.record_bytes`."""

    code = "record-too-large"


class UnknownFormat(EngineError):
    """The first bytes are of no format that is accepted."""

    code = "unknown-format"


class DamagedArchive(EngineError):
    """The archive's directory cannot be read to its end."""

    code = "damaged-archive"


class EmptyArchive(EngineError):
    """Nothing is left once directories and system metadata are left out."""

    code = "empty-archive"


class TooManyEntries(EngineError):
    """The directory lists more than `Limits.entries`."""

    code = "too-many-entries"


class ArchiveTooLarge(EngineError):
    """The entries together may inflate to more than `Limits.inflated_bytes`."""

    code = "archive-too-large"


class ArchiveOverlaps(EngineError):
    """Two entries claim the same bytes: the mark of a bomb, never of a packer."""

    code = "archive-overlaps"


class NameTooLong(EngineError):
    """The entry's name has more than `Limits.name_characters`."""

    code = "name-too-long"


class EncryptedEntry(EngineError):
    """The entry is encrypted, and nobody gives us passwords."""

    code = "encrypted-entry"


class UnknownCompression(EngineError):
    """The entry is neither stored nor deflated."""

    code = "unknown-compression"


class EntryTooLarge(EngineError):
    """The entry inflates to more than `Limits.entry_bytes`, or further than `Limits.inflation_ratio`."""

    code = "entry-too-large"


class DamagedEntry(EngineError):
    """The entry's bytes contradict the directory: size, checksum, or no deflate stream at all."""

    code = "damaged-entry"


class NestedArchive(EngineError):
    """The entry is a zip archive itself; archives are unpacked one level deep."""

    code = "nested-archive"


class ImageTooLarge(EngineError):
    """The image has more bytes, pixels, frames or parts than the limits; known before a pixel is decoded."""

    code = "image-too-large"


class ArchiveTooCostly(EngineError):
    """With this image, those of its archive would decode to more than `Limits.archive_decoded_bytes`."""

    code = "archive-too-costly"


class ImageTooSmall(EngineError):
    """A side of the image is shorter than `Limits.side_min_px`."""

    code = "image-too-small"


class DamagedImage(EngineError):
    """The image is cut short, fails its checksums, or its decoder gives up."""

    code = "damaged-image"


class OutOfMemory(EngineError):
    """The item needed more memory than there was."""

    code = "out-of-memory"


class InternalError(EngineError):
    """The engine itself failed at this item; its cause is chained."""

    code = "internal-error"


def unforeseen(doing: str, cause: Exception) -> EngineError:
    """Say that something failed as nobody expected, or for want of memory; an `EngineError` speaks for itself.

    Parameters
    ----------
    doing
        What failed: the beginning of a sentence.
    cause
        What was raised.
    """
    if isinstance(cause, EngineError):
        return cause
    if isinstance(cause, MemoryError):
        return OutOfMemory(f"{doing} took more memory than there is.")
    error = InternalError(f"{doing} failed: {type(cause).__name__}.")
    error.__cause__ = cause
    return error
