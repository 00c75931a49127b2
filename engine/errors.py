"""The errors of the engine: one class for each reason why bytes give no digit, in the order of the steps.

::

    payload ──► archive ──► entry ──► picture ──► digit
       │           │          │          │          └ OutOfMemory, InternalError
       │           │          │          └ ImageTooLarge … DamagedImage
       │           │          └ NameTooLong … NestedArchive: only this entry fails
       │           └ DamagedArchive … ArchiveOverlaps: the whole archive fails
       └ EmptyRecord, RecordTooLarge, UnknownFormat

Each class has the error code that is published with it. ``str(error)`` is one sentence for a person, in which control
characters that come from a file are escaped, so that they cannot affect logs and terminals.
"""

# ruff: noqa: N818  # the names are read as what happened (`except DamagedEntry`); all of them are errors

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar, Final

from release.printable import printable

RAISED_AT: Final = "raised at "
"""The beginning of the notes on a caught error and on its causes, which say where each was raised."""
PATH_PARTS: Final = 3
"""How much of a file's path is shown: as much as one of ours has below the folder of the packages."""


class EngineError(Exception):
    """A failure caused by the input or by this attempt to read it, never by the calling program."""

    code: ClassVar[str]

    def __str__(self) -> str:
        """Return the message, with unprintable characters escaped."""
        return printable(super().__str__())


class EmptyRecord(EngineError):
    """The payload or the entry has no bytes."""

    code = "empty-record"


class RecordTooLarge(EngineError):
    """The payload has more bytes than `Limits.record_bytes`."""

    code = "record-too-large"


class UnknownFormat(EngineError):
    """The first bytes belong to no accepted format."""

    code = "unknown-format"


class DamagedArchive(EngineError):
    """The archive's directory cannot be read to its end."""

    code = "damaged-archive"


class EmptyArchive(EngineError):
    """The archive has no entries besides directories and metadata of operating systems."""

    code = "empty-archive"


class TooManyEntries(EngineError):
    """The directory lists more than `Limits.entries`."""

    code = "too-many-entries"


class ArchiveTooLarge(EngineError):
    """The entries together may inflate to more than `Limits.inflated_bytes`."""

    code = "archive-too-large"


class ArchiveOverlaps(EngineError):
    """Two entries use the same bytes, which zip bombs do and archivers never do."""

    code = "archive-overlaps"


class NameTooLong(EngineError):
    """The entry's name has more than `Limits.name_characters`."""

    code = "name-too-long"


class EncryptedEntry(EngineError):
    """The entry is encrypted; the service has no passwords."""

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
    """The entry's bytes contradict the directory: size, checksum, or not a deflate stream."""

    code = "damaged-entry"


class NestedArchive(EngineError):
    """The entry is a zip archive itself; only one level is unpacked."""

    code = "nested-archive"


class ImageTooLarge(EngineError):
    """The image's file has more than `Limits.image_bytes`."""

    code = "image-too-large"


class TooManyPixels(EngineError):
    """The image, or a tile of it, has more than `Limits.pixels`. Checked before decoding, as are the next."""

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
    """With this image, the images of its archive would decode to more than `Limits.archive_decoded_bytes`."""

    code = "archive-too-costly"


class ImageTooSmall(EngineError):
    """A side of the image is shorter than `Limits.side_min_px`."""

    code = "image-too-small"


class DamagedImage(EngineError):
    """The image is cut short, a checksum is wrong, or the decoder fails."""

    code = "damaged-image"


class OutOfMemory(EngineError):
    """The item needed more memory than there was."""

    code = "out-of-memory"


class InternalError(EngineError):
    """The engine itself failed at this item; the cause is chained."""

    code = "internal-error"


def in_utf8(name: str) -> str:
    r"""Return a file's name as text that any encoder takes: a byte that is not UTF-8 becomes ``\xff``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def as_engine_error(doing: str, cause: Exception) -> EngineError:
    """Turn any exception into an `EngineError`; one that already is an `EngineError` is returned as it is.

    Call it where `cause` is caught. The result may be stored: it keeps no reference to the data that was processed.

    Parameters
    ----------
    doing
        What failed, as the beginning of a sentence.
    cause
        The exception that was caught.
    """
    _drop_tracebacks(cause)
    if isinstance(cause, EngineError):
        return cause
    if isinstance(cause, MemoryError):
        return OutOfMemory(f"{doing} took more memory than there is.")
    error = InternalError(f"{doing} failed: {type(cause).__name__}.")
    error.__cause__ = cause
    return error


def fault_of(error: InternalError) -> str:
    """Return the type of an internal error's cause and where it was raised, in the form ``ValueError at a/b.py:12``."""
    cause = error.__cause__
    places = [note.removeprefix(RAISED_AT) for note in getattr(cause, "__notes__", ()) if note.startswith(RAISED_AT)]
    where = f" at {'/'.join(PurePath(places[0]).parts[-PATH_PARTS:])}" if places else ""
    return f"{type(cause or error).__name__}{where}"


def _drop_tracebacks(error: BaseException | None) -> None:
    """Note where an error and its causes were raised, then remove their tracebacks.

    A traceback references all variables of its frames, among them bytes and pixels, and also the error itself. This
    cycle would keep the memory until the garbage collector runs. See test_what_fails_is_not_kept_in_memory.
    """
    while error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            error.add_note(f"{RAISED_AT}{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
