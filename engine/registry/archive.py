"""Reads a model from a zip archive, in memory: nothing is unpacked to the disk, and no name in it is used as a path."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from engine.codecs.archive.directory import directory
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.files import ARRAYS, ARRAYS_BYTES, MANIFEST, MANIFEST_BYTES, ModelError

ARCHIVE_BYTES: Final = ARRAYS_BYTES + (64 << 20)
"""The arrays, and the plots of a card."""
MOST_ENTRIES: Final = 100
_KNOWN_SUFFIXES: Final = {".json", ".md", ".png", ".svg", ".txt"}
_ENCRYPTED: Final = 0x1


def read_archive(archive: BinaryIO) -> tuple[bytes, bytes]:
    """Return the contents of manifest and arrays, which lie at the top of the archive or in its only folder.

    Raises
    ------
    ModelError
        The archive is damaged, does not have both files exactly once, or has an entry that no model has: a link, a path
        that leads out of the archive, a file of a kind that models do not consist of, or one that is too large.
    """
    content = archive.read(ARCHIVE_BYTES + 1)
    if len(content) > ARCHIVE_BYTES:
        raise ModelError(f"the archive has more than {ARCHIVE_BYTES:,} bytes, the most that is read")
    try:
        directory(
            content, Limits(entries=MOST_ENTRIES, inflated_bytes=ARCHIVE_BYTES)
        )  # zipfile has no limit of entries
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            entries = opened.infolist()
            for entry in entries:
                _check(entry)
            manifest = _only(entries, MANIFEST)
            arrays = _only(entries, ARRAYS)
            if PurePosixPath(manifest.filename).parent != PurePosixPath(arrays.filename).parent:
                raise ModelError(f"{MANIFEST} and {ARRAYS} do not lie in the same folder of the archive")
            return _content(opened, manifest, MANIFEST_BYTES), _content(opened, arrays, ARRAYS_BYTES)
    except EngineError as error:
        raise ModelError(f"the archive is damaged or too large: {error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, OSError) as error:
        raise ModelError(f"the archive is damaged: {error}") from error


def _check(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.orig_filename or ":" in entry.filename:
        raise ModelError(f"the entry {entry.filename!r} leads out of the archive")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ModelError(f"the entry {entry.filename!r} is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise ModelError(f"the entry {entry.filename!r} is encrypted")
    if not entry.is_dir() and path.name != ARRAYS and path.suffix.lower() not in _KNOWN_SUFFIXES:
        raise ModelError(f"the entry {entry.filename!r} is of a kind that models do not consist of")


def _only(entries: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    found = [entry for entry in entries if PurePosixPath(entry.filename).name == name and not entry.is_dir()]
    if len(found) != 1 or len(PurePosixPath(found[0].filename).parts) > 2:  # noqa: PLR2004  # a folder and a file
        raise ModelError(f"the archive does not have {name} exactly once, at its top or in its only folder")
    return found[0]


def _content(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, most_bytes: int) -> bytes:
    """Inflate an entry, and at most one byte more than it may have, whatever its header says."""
    with opened.open(entry) as file:
        content = file.read(most_bytes + 1) if entry.file_size <= most_bytes else b""
    if entry.file_size > most_bytes or len(content) > most_bytes:
        raise ModelError(f"{entry.filename} has more than {most_bytes:,} bytes, the most that is read")
    return content
