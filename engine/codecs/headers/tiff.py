"""Checks untrusted TIFF files: the directories are walked before a pixel is decoded.

walk   check the directory of the first picture: number and offsets of values, no tag twice; find its overviews
check  check the size of its strips or tiles, after the decoder has read their numbers

References
----------
.. [1] Adobe, TIFF Revision 6.0, 1992.
.. [2] LibTIFF, BigTIFF Design: the same with offsets and counts of 64 bits.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.codecs.headers.exif import ORIENTATION, UPRIGHT
from engine.errors import DamagedImage, DecodesTooLarge, TooManyFrames, TooManyParts, TooManyPixels
from engine.limits import Limits

_VALUE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # by type
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # by type
_KIND, _REDUCED = 254, 1  # the tag that says what a directory describes, and its flag of a smaller copy
_WIDTH, _HEIGHT, _BITS, _PLANAR = 256, 257, 258, 284
_STRIPS, _STRIP_HEIGHT, _STRIP_BYTES = 273, 278, 279
_TILES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 324, 322, 323, 325
_DIRECTORIES: Final = 330  # the tag of further directories that belong to this one
_SHORT: Final = 3  # type of 16 bits
_PRIVATE: Final = 65_000  # a tag that no library knows
_SAMPLES, _SAMPLE_FORMAT, _FLOATS, _HALF_BITS = 277, 339, 3, 16
_LISTS: Final = frozenset({_BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES})
_SIZES: Final = frozenset({_WIDTH, _HEIGHT, _SAMPLES, _PLANAR, _STRIP_HEIGHT, _TILE_WIDTH, _TILE_HEIGHT})
_TEXTS: Final = frozenset({269, 270, 271, 272, 285, 305, 306, 315, 316, 33_432})  # names, programs, dates
_READ: Final = _LISTS | _SIZES | {ORIENTATION, _KIND, _DIRECTORIES, _SAMPLE_FORMAT}
_SEPARATE: Final = 2  # planar configuration: each channel has strips of its own
_PIXEL_BYTES: Final = 4


class _Layout(NamedTuple):
    """How numbers are written, by the first bytes of the file."""

    order: str
    first_at: int
    """Where the offset of the first directory is."""
    offset: str
    tags: str
    """Number of a directory's tags."""
    entry: str
    """Tag, type, number of values; then the values or their offset."""
    value_at: int
    """Within an entry; the offset of the values has as many bytes as there is room for values."""
    entry_bytes: int

    def read(self, what: str, data: bytes, at: int) -> tuple[int, ...]:
        if not 0 <= at <= len(data):  # struct counts negative offsets from the end, and takes none of 2^63 or more
            raise struct.error("outside the file")
        return struct.unpack_from(self.order + what, data, at)


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
        return self.number(_WIDTH)

    @property
    def height(self) -> int:
        """In px."""
        return self.number(_HEIGHT)

    @property
    def orientation(self) -> int:
        """As of EXIF."""
        return self.number(ORIENTATION, UPRIGHT)

    @property
    def is_of_floats(self) -> bool:
        """True if pixels are numbers with a fraction."""
        return self.number(_SAMPLE_FORMAT) == _FLOATS

    @property
    def is_of_half_floats(self) -> bool:
        """True if these have 16 bits."""
        return self.is_of_floats and self.number(_BITS) == _HALF_BITS

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel as it is stored, all channels together."""
        return self.number(_SAMPLES, 1) * -(-self.number(_BITS, 1) // 8)


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
    layout = _layout(data)
    try:
        (at,) = layout.read(layout.offset, data, layout.first_at)
        first = _directory(data, layout, at, limits)
    except struct.error:
        raise DamagedImage("The TIFF file is cut short.") from None
    _, *pages = _pages(data, layout, at, limits)
    return Tiff(first, [*first.numbers.get(_DIRECTORIES, ()), *pages])


def overviews(data: bytes, found: Tiff, limits: Limits) -> list[Directory]:
    """Read the directories of smaller copies of the first picture, as many as are allowed to have parts together."""
    layout = _layout(data)
    read: list[Directory] = []
    parts = 0
    for at in found.others:
        with contextlib.suppress(struct.error, DamagedImage, TooManyParts):
            directory = _directory(data, layout, at, limits)
            parts += directory.pieces
            if parts > limits.parts:
                break
            if directory.number(_KIND) & _REDUCED:
                read.append(directory)
    return read


def sizes(directory: Directory) -> dict[int, Any]:
    """Return the tags that `check` needs, for a decoder that does not say what it has read."""
    found: dict[int, Any] = {tag: numbers for tag, numbers in directory.numbers.items() if tag in _LISTS}
    return found | {tag: numbers[0] for tag, numbers in directory.numbers.items() if tag in _SIZES and numbers}


def beginning_at(data: bytes, directory: Directory) -> bytes:
    """Return a file whose first directory is another of its own."""
    layout = _layout(data)
    offset = struct.pack(layout.order + layout.offset, directory.at)
    return _replaced(data, layout.first_at, offset)


def upright(data: bytes, directory: Directory) -> bytes:
    """Return a file whose picture is upright as it is stored."""
    if directory.orientation == UPRIGHT:
        return data
    layout = _layout(data)
    entry = struct.pack(f"{layout.order}{layout.entry}H", ORIENTATION, _SHORT, 1, UPRIGHT)
    return _replaced(data, directory.entries_at[ORIENTATION], entry)


def as_integers(data: bytes, directory: Directory) -> bytes:
    """Return a file that does not say that its numbers have a fraction."""
    return _replaced(data, directory.entries_at[_SAMPLE_FORMAT], struct.pack(_layout(data).order + "H", _PRIVATE))


def _replaced(data: bytes, at: int, what: bytes) -> bytes:
    return data[:at] + what + data[at + len(what) :]


def _layout(data: bytes) -> _Layout:
    order = "<" if data.startswith(b"II") else ">"
    if b"+" in data[2:4]:
        return _Layout(order, 8, "Q", "Q", "HHQ", 12, 20)
    return _Layout(order, 4, "I", "H", "HHI", 8, 12)


def _directory(data: bytes, layout: _Layout, at: int, limits: Limits) -> Directory:
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
        if (value_bytes > 1 or tag in (_STRIPS, _TILES)) and count > limits.parts:
            raise TooManyParts(f"A tag of the TIFF file has more than {limits.parts:,} values.")
        if tag in (_STRIPS, _TILES):
            pieces = max(pieces, count)
        if tag in numbers and tag not in _TEXTS:
            raise DamagedImage("The TIFF file's directory has a tag twice.")
        numbers[tag] = ()
        entries_at[tag] = entry_at
        if tag in _READ and kind in _INTEGERS:
            values = f"{min(count, limits.parts)}{_INTEGERS[kind]}"
            numbers[tag] = _numbers(data, layout, entry_at + layout.value_at, values, is_inside=is_inside)
    return Directory(at, numbers, int(entries) + pieces, entries_at)


def _numbers(data: bytes, layout: _Layout, at: int, values: str, *, is_inside: bool) -> tuple[int, ...]:
    """Read the values of a tag if they are inside the file; else none."""
    try:
        if not is_inside:
            (at,) = layout.read(layout.offset, data, at)
        return layout.read(values, data, at)
    except struct.error:
        return ()


def _pages(data: bytes, layout: _Layout, at: int, limits: Limits) -> Iterator[int]:
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


def check(data: bytes, tags: Mapping[int, Any], limits: Limits) -> int:
    """Check the strips or tiles of the first picture: each is unpacked completely, however small the picture is.

    Parameters
    ----------
    data
        The file, already checked by `walk`.
    tags
        The tags of its first directory, as read by the decoder.
    limits
        The limits of a picture apply to the pixels of one tile and to the decoded bytes of all tiles.

    Returns
    -------
    decoded_bytes
        Size of all decoded strips or tiles.

    Raises
    ------
    TooManyPixels, DecodesTooLarge
        If they exceed the limits.
    DamagedImage
        If strips or tiles share bytes.
    """
    width, height = _number(tags, _WIDTH), _number(tags, _HEIGHT)
    if _TILES in tags:
        across, down = _number(tags, _TILE_WIDTH), _number(tags, _TILE_HEIGHT)
        places, sizes = tags[_TILES], tags.get(_TILE_BYTES, ())
    else:
        across, down = width, min(_number(tags, _STRIP_HEIGHT, height), height)
        places, sizes = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
    if across * down > limits.pixels:
        raise TooManyPixels(f"The TIFF file's tiles have {across:,} x {down:,} pixels: more than {limits.pixels:,}.")
    if not across * down:
        raise DamagedImage("The TIFF file's strips or tiles are empty.")
    pieces = max(len(places), -(-width // across) * -(-height // down))
    if len(places) > 1 and sum(sizes) > len(data):
        raise DamagedImage("Strips or tiles of the TIFF file share bytes.")
    pixel_bytes = _PIXEL_BYTES
    if tags.get(_PLANAR) == _SEPARATE:
        bits = tags.get(_BITS, 1)
        pixel_bytes = -(-(max(bits) if isinstance(bits, tuple) else bits) // 8)
    decoded_bytes = pieces * across * down * pixel_bytes
    if decoded_bytes > limits.decoded_bytes:
        raise DecodesTooLarge(
            f"The TIFF file's strips or tiles decode to {decoded_bytes:,} bytes; "
            f"at most {limits.decoded_bytes:,} are allowed."
        )
    return decoded_bytes


def _number(tags: Mapping[int, Any], tag: int, default: int = 0) -> int:
    value = tags.get(tag, default)
    if not isinstance(value, int):
        raise DamagedImage("A size in the TIFF file is not a number.")
    return value
