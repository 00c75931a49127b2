"""Finds what to send: files, the files in folders, standard input; the bytes of each become one record."""

from __future__ import annotations

import mimetypes
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.codecs.formats import MEDIA_TYPES, payload_format
from engine.errors import in_utf8
from producer.errors import UsageError

STANDARD_INPUT: Final = "-"
UNKNOWN: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to send as one record: a file, or standard input if `path` is None."""

    label: str
    """The path as the caller gave it, in UTF-8: bytes that are not UTF-8 are escaped."""
    path: Path | None
    size_bytes: int | None
    """The size in the file system; None for standard input, a pipe and the like."""

    @property
    def filename(self) -> str | None:
        """The file's own name, without folders; None for standard input."""
        return None if self.path is None else self.path.name

    def read(self) -> bytes:
        """Return the bytes.

        Raises
        ------
        UsageError
            The file cannot be read.
        """
        try:
            return sys.stdin.buffer.read() if self.path is None else self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {self.label!r}: {error.strerror}") from error


def find(paths: Sequence[str]) -> list[Source]:
    """List the files of the given paths, in the order of the paths; those of a folder by name.

    Inside folders, hidden files and folders are left out, and so is everything that is not a regular file. A path
    that is given directly is taken in any case, also if it is hidden or a pipe.

    Raises
    ------
    UsageError
        A path does not exist, a folder holds no file, or standard input is given twice.
    """
    if list(paths).count(STANDARD_INPUT) > 1:
        raise UsageError("standard input (-) was given twice: give it once")
    return [source for path in paths for source in _find_one(path)]


def content_type(filename: str | None, data: bytes) -> str:
    """Return the media type, by the first bytes; for other formats than the service's, by the file's extension."""
    payload = payload_format(data)
    if payload is not None:
        return MEDIA_TYPES[payload]
    return (mimetypes.guess_type(filename)[0] if filename else None) or UNKNOWN


def _find_one(given: str) -> list[Source]:
    if given == STANDARD_INPUT:
        return [Source(STANDARD_INPUT, None, None)]
    path = Path(given)
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read {given!r}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        return [Source(in_utf8(given), path, status.st_size if stat.S_ISREG(status.st_mode) else None)]
    found = list(_walk(path))
    if not found:
        raise UsageError(f"folder {given!r} holds no file to send (hidden files are left out)")
    return found


def _walk(folder: Path) -> Iterator[Source]:
    for folder_path, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder_path, name)
            if not name.startswith(".") and path.is_file():
                yield Source(in_utf8(str(path)), path, path.stat().st_size)


def _refuse(error: OSError) -> None:
    raise UsageError(f"cannot read folder {error.filename!r}: {error.strerror}") from error
