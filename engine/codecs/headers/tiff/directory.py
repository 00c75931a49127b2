"""Reads a directory of a TIFF file: number and offsets of values are checked, and no tag comes twice."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.codecs.headers.exif import ORIENTATION, UPRIGHT
from engine.codecs.headers.tiff.layout import Layout
from engine.codecs.headers.tiff.tags import BITS, HEIGHT, READ, SAMPLE_FORMAT, SAMPLES, STRIPS, TEXTS, TILES, WIDTH
from engine.errors import DamagedImage, TooManyParts
from engine.limits import Limits

_VALUE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # by type
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # by type
_FLOATS, _HALF_BITS = 3, 16


class Directory(NamedTuple):
    """What the directory of a picture says, or one of a smaller copy of it."""

    at: int
    numbers: Mapping[int, tuple[int, ...]]
    """Values by tag; empty if they are no integers, or outside the file."""
    pieces: int
    """Number of tags, strips and tiles; the decoder processes each of them separately."""
    entries_at: Mapping[int, int]
    """Offset of the entry of each tag."""

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return (self.numbers.get(tag) or (default,))[0]

    @property
    def width(self) -> int:
        """In px."""
        return self.number(WIDTH)

    @property
    def height(self) -> int:
        """In px."""
        return self.number(HEIGHT)

    @property
    def orientation(self) -> int:
        """As of EXIF."""
        return self.number(ORIENTATION, UPRIGHT)

    @property
    def is_of_floats(self) -> bool:
        """True if pixels are numbers with a fraction."""
        return self.number(SAMPLE_FORMAT) == _FLOATS

    @property
    def is_of_half_floats(self) -> bool:
        """True if these have 16 bits."""
        return self.is_of_floats and self.number(BITS) == _HALF_BITS

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel as it is stored, all channels together."""
        return self.number(SAMPLES, 1) * -(-self.number(BITS, 1) // 8)


def read_directory(data: bytes, layout: Layout, at: int, limits: Limits) -> Directory:
    """Read the directory at an offset.

    Raises
    ------
    DamagedImage
        If it ends outside the file; if its values share bytes, so that reading all would cost more than the file's
        size; or if a tag that affects pixels comes twice, which libraries resolve differently.
    TooManyParts
        If it has too many tags, or one of them too many values.
    struct.error
        If its offset is outside the file.
    """
    (entries,) = layout.read(layout.tags, data, at)
    first_at = at + struct.calcsize("=" + layout.tags)
    if first_at + entries * layout.entry_bytes > len(data):
        raise DamagedImage("The TIFF file is cut short.")
    if entries > limits.parts:
        raise TooManyParts(f"The TIFF file has more than {limits.parts:,} tags.")
    pieces, room_bytes = 0, len(data)
    entries_at: dict[int, int] = {}
    numbers: dict[int, tuple[int, ...]] = {}
    for entry_at in range(first_at, first_at + entries * layout.entry_bytes, layout.entry_bytes):
        tag, kind, count = layout.read(layout.entry, data, entry_at)
        value_bytes = _VALUE_BYTES[kind] if kind < len(_VALUE_BYTES) else 0
        is_inside = count * value_bytes <= layout.entry_bytes - layout.value_at
        room_bytes -= 0 if is_inside else count * value_bytes
        if room_bytes < 0:
            raise DamagedImage("Values of the TIFF file share bytes.")
        # Bytes are read in one step, numbers one by one; the offset of a strip is a number, whatever its type.
        if (value_bytes > 1 or tag in (STRIPS, TILES)) and count > limits.parts:
            raise TooManyParts(f"A tag of the TIFF file has more than {limits.parts:,} values.")
        if tag in (STRIPS, TILES):
            pieces = max(pieces, count)
        if tag in numbers and tag not in TEXTS:
            raise DamagedImage("The TIFF file's directory has a tag twice.")
        numbers[tag] = ()
        entries_at[tag] = entry_at
        if tag in READ and kind in _INTEGERS:
            values = f"{min(count, limits.parts)}{_INTEGERS[kind]}"
            numbers[tag] = _numbers(data, layout, entry_at + layout.value_at, values, is_inside=is_inside)
    return Directory(at, numbers, int(entries) + pieces, entries_at)


def _numbers(data: bytes, layout: Layout, at: int, values: str, *, is_inside: bool) -> tuple[int, ...]:
    """Read the values of a tag if they are inside the file; else none."""
    try:
        if not is_inside:
            (at,) = layout.read(layout.offset, data, at)
        return layout.read(values, data, at)
    except struct.error:
        return ()
