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

from typing import ClassVar, Final

RAISED_AT: Final = "raised at "
"""Begins a note on an error that has been caught, and on what caused it."""


class EngineError(Exception):
    """Something about the input, or about this attempt at it; never a fault of the program that calls."""

    code: ClassVar[str]

    def __str__(self) -> str:
        """Return the sentence, with what is not printable escaped."""
        return printable(super().__str__())


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
    """The entry inflates to more than `Limits.entry_bytes`."""

    code = "entry-too-large"


class InflatesTooFar(EngineError):
    """The entry inflates to more than `Limits.inflation_ratio` times its packed bytes."""

    code = "inflates-too-far"


class DamagedEntry(EngineError):
    """The entry's bytes contradict the directory: size, checksum, or no deflate stream at all."""

    code = "damaged-entry"


class NestedArchive(EngineError):
    """The entry is a zip archive itself; archives are unpacked one level deep."""

    code = "nested-archive"


class ImageTooLarge(EngineError):
    """The image's file has more than `Limits.image_bytes`."""

    code = "image-too-large"


class TooManyPixels(EngineError):
    """The image, or a tile of it, has more than `Limits.pixels`; known before one is decoded, as all of these."""

    code = "too-many-pixels"


class SideTooLong(EngineError):
    """A side of the image is longer than `Limits.side_max_px`."""

    code = "side-too-long"


class DecodesTooLarge(EngineError):
    """The image decodes to more than `Limits.decoded_bytes`."""

    code = "decodes-too-large"


class TooManyFrames(EngineError):
    """The image has more frames or pages than `Limits.frames`."""

    code = "too-many-frames"


class TooManyParts(EngineError):
    """The image's file has more parts than `Limits.parts`."""

    code = "too-many-parts"


class TooManyScans(EngineError):
    """The JPEG file has more scans than `Limits.scans`."""

    code = "too-many-scans"


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


def printable(text: str, *, keep: str = "") -> str:
    """Escape what would not be seen as it is, such as control characters, but for those to `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def in_utf8(name: str) -> str:
    r"""Return a file's name as text that any encoder takes: a byte that is not UTF-8 becomes ``\xff``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def as_engine_error(doing: str, cause: Exception) -> EngineError:
    """Say that something failed as nobody expected, or for want of memory; an `EngineError` speaks for itself.

    Call it where `cause` is caught. What is returned may be kept: it holds on to nothing of what was worked on.

    Parameters
    ----------
    doing
        What failed: the beginning of a sentence.
    cause
        What was raised.
    """
    _drop_tracebacks(cause)
    if isinstance(cause, EngineError):
        return cause
    if isinstance(cause, MemoryError):
        return OutOfMemory(f"{doing} took more memory than there is.")
    error = InternalError(f"{doing} failed: {type(cause).__name__}.")
    error.__cause__ = cause
    return error


def _drop_tracebacks(error: BaseException | None) -> None:
    """Note where an error was raised, and forget all else that it came through.

    A traceback holds on to every variable on its way, bytes and pixels among them, and to the error itself: a circle
    that only the garbage collector breaks, in its own time.
    Forced by test_what_fails_is_not_kept_in_memory.
    """
    while error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            error.add_note(f"{RAISED_AT}{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
