"""Walks the directories of a TIFF file, before a pixel is decoded: of its first picture, its pages, its overviews."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.codecs.headers.tiff.directory import Directory, read_directory
from engine.codecs.headers.tiff.layout import Layout, layout_of
from engine.codecs.headers.tiff.tags import DIRECTORIES, KIND
from engine.errors import DamagedImage, TooManyFrames, TooManyParts
from engine.limits import Limits

_REDUCED: Final = 1  # the flag of a smaller copy


class Tiff(NamedTuple):
    """The result of `walk`."""

    first: Directory
    others: list[int]
    """Offsets of the directories of further pages, and of those that belong to the first one."""


def walk(data: bytes, limits: Limits) -> Tiff:
    """Check the first directory, and count frames. Pages that lie outside the file are ignored.

    Raises
    ------
    DamagedImage
        If the file ends within its first directory; if values share bytes, so that reading all would cost more than the
        file's size; or if a tag that affects pixels comes twice, which libraries resolve differently.
    TooManyFrames, TooManyParts
        As their names say.
    """
    layout = layout_of(data)
    try:
        (at,) = layout.read(layout.offset, data, layout.first_at)
        first = read_directory(data, layout, at, limits)
    except struct.error:
        raise DamagedImage("The TIFF file is cut short.") from None
    _, *pages = _pages(data, layout, at, limits)
    return Tiff(first, [*first.numbers.get(DIRECTORIES, ()), *pages])


def overviews(data: bytes, found: Tiff, limits: Limits) -> list[Directory]:
    """Read the directories of smaller copies of the first picture, as many as are allowed to have parts together."""
    layout = layout_of(data)
    read: list[Directory] = []
    parts = 0
    for at in found.others:
        with contextlib.suppress(struct.error, DamagedImage, TooManyParts):
            directory = read_directory(data, layout, at, limits)
            parts += directory.pieces
            if parts > limits.parts:
                break
            if directory.number(KIND) & _REDUCED:
                read.append(directory)
    return read


def _pages(data: bytes, layout: Layout, at: int, limits: Limits) -> Iterator[int]:
    """Yield the offset of each page's directory, while they lie inside the file."""
    seen: set[int] = set()
    with contextlib.suppress(struct.error):
        while at and at not in seen:  # pages that lead back to an earlier one end there
            seen.add(at)
            if len(seen) > limits.frames:
                raise TooManyFrames(f"The TIFF file has more than {limits.frames:,} pages.")
            (entries,) = layout.read(layout.tags, data, at)
            yield at
            next_at = at + struct.calcsize("=" + layout.tags) + entries * layout.entry_bytes
            (at,) = layout.read(layout.offset, data, next_at)
