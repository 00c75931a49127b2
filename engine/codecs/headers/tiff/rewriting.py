"""Overwrites numbers in a TIFF file, so that a decoder reads another directory of it, or reads it in another way."""

from __future__ import annotations

import struct
from typing import Final

from engine.codecs.headers.exif import ORIENTATION, UPRIGHT
from engine.codecs.headers.tiff.directory import Directory
from engine.codecs.headers.tiff.layout import layout_of
from engine.codecs.headers.tiff.tags import SAMPLE_FORMAT

_SHORT: Final = 3  # type of 16 bits
_PRIVATE: Final = 65_000  # a tag that no library knows


def beginning_at(data: bytes, directory: Directory) -> bytes:
    """Return a file whose first directory is another of its own."""
    layout = layout_of(data)
    offset = struct.pack(layout.order + layout.offset, directory.at)
    return _replaced(data, layout.first_at, offset)


def upright(data: bytes, directory: Directory) -> bytes:
    """Return a file whose picture is upright as it is stored."""
    if directory.orientation == UPRIGHT:
        return data
    layout = layout_of(data)
    entry = struct.pack(f"{layout.order}{layout.entry}H", ORIENTATION, _SHORT, 1, UPRIGHT)
    return _replaced(data, directory.entries_at[ORIENTATION], entry)


def as_integers(data: bytes, directory: Directory) -> bytes:
    """Return a file that does not say that its numbers have a fraction."""
    return _replaced(data, directory.entries_at[SAMPLE_FORMAT], struct.pack(layout_of(data).order + "H", _PRIVATE))


def _replaced(data: bytes, at: int, what: bytes) -> bytes:
    return data[:at] + what + data[at + len(what) :]
