"""What is to be sent: files, the files of folders, standard input; each becomes one record as it is."""

from __future__ import annotations

import mimetypes
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import in_utf8
from producer.errors import UsageProblem

STANDARD_INPUT: Final = "-"
UNKNOWN: Final = "application/octet-stream"

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One record to be: a file, or standard input if `path` is None."""

    label: str
    """As the caller knows it; may contain any character, and what is not UTF-8 escaped."""
    path: Path | None
    size_bytes: int | None
    """As the file system tells it; None if only reading will tell."""

    @property
    def filename(self) -> str | None:
        """The file's own name, without folders; None for standard input."""
        return None if self.path is None else self.path.name

    def read(self) -> bytes:
        """Return the bytes.

        Raises
        ------
        UsageProblem
            The file cannot be read.
        """
        try:
            return sys.stdin.buffer.read() if self.path is None else self.path.read_bytes()
        except OSError as error:
            raise UsageProblem(f"cannot read {self.label!r}: {error.strerror}") from error


def find(paths: Sequence[str]) -> list[Source]:
    """List what the paths stand for, in their order; the files of a folder by name, folder after folder.

    Hidden files and folders are left out of folders, and what is no regular file. A path given by itself is
    taken whatever it is, a pipe too.

    Raises
    ------
    UsageProblem
        A path does not exist, a folder holds no file, or standard input is named twice.
    """
    if list(paths).count(STANDARD_INPUT) > 1:
        raise UsageProblem("standard input (-) can be sent once only")
    return [source for path in paths for source in _find_one(path)]


def content_type(filename: str | None, data: bytes) -> str:
    """Name the media type, by the first bytes or else by the file's extension."""
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return (mimetypes.guess_type(filename)[0] if filename else None) or UNKNOWN


def _find_one(given: str) -> list[Source]:
    if given == STANDARD_INPUT:
        return [Source(STANDARD_INPUT, None, None)]
    path = Path(given)
    try:
        status = path.stat()
    except OSError as error:
        raise UsageProblem(f"cannot read {given!r}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        return [Source(in_utf8(given), path, status.st_size if stat.S_ISREG(status.st_mode) else None)]
    found = list(_walk(path))
    if not found:
        raise UsageProblem(f"there is no file in folder {given!r}")
    return found


def _walk(folder: Path) -> Iterator[Source]:
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield Source(in_utf8(str(path)), path, path.stat().st_size)


def _refuse(error: OSError) -> None:
    raise UsageProblem(f"cannot read folder {error.filename!r}: {error.strerror}") from error
