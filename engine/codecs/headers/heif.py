"""Checks untrusted HEIF and AVIF files: their boxes are walked before a pixel is decoded.

boxes  read the sizes of all pictures, and which picture is made of which tiles
cost   add up the tiles of the first picture, and of its alpha

Both formats are the same container, with pictures coded as HEVC or as AV1.

References
----------
.. [1] ISO/IEC 14496-12, ISO base media file format; ISO/IEC 23008-12, High Efficiency Image File Format.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.errors import DamagedImage, TooManyFrames, TooManyParts
from engine.limits import Limits

_BOX: Final = struct.Struct(">I4s")
_LARGE: Final = struct.Struct(">Q")
_FULL_BYTES: Final = 4  # version and flags, with which most of these boxes begin
_FOLDERS: Final = {b"meta": _FULL_BYTES, b"iprp": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
"""Boxes of boxes, and how many bytes come before the first one."""
_DEPTH: Final = 8  # of boxes in boxes; files have six
_TYPED_ITEMS: Final = 2  # from this version on, an item has a type
_AV1_DEEP: Final = 0x40  # flag for 10 or 12 bits
_HEVC_DEPTH_AT, _HEVC_DEEP = 17, 0x07  # bits beyond 8
_SAMPLE_SIZE_AT: Final = 24
_SAMPLE_ENTRY_BYTES: Final = 28


class Heif(NamedTuple):
    """The result of `walk`."""

    width: int
    height: int
    """Of the largest picture of the file: whichever of them the decoder uses, it is no larger."""
    tile_pixels: int
    """Pixels of all tiles of the first picture, or of its alpha if that has more; without tiles, of itself."""
    is_deep: bool
    """True if a picture may have more than 8 bits a channel."""
    exif_types: list[int]
    """Offsets of the types of the items that hold EXIF data."""


@dataclass(slots=True)
class _Found:
    """What the boxes say."""

    limits: Limits
    parts: int = 0
    primary: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[int, int] | None] = field(default_factory=list)
    """The size that each property of `ipco` states; None for a property of another kind."""
    property_numbers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Of each item, counted from 1."""
    made_of: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    auxiliary: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By the item that they belong to: alpha, depth."""
    is_deep: bool = False
    exif_types: list[int] = field(default_factory=list)

    def count(self, parts: int = 1) -> None:
        self.parts += parts
        if self.parts > self.limits.parts:
            raise TooManyParts(f"The file has more than {self.limits.parts:,} boxes, items and references.")


def walk(data: bytes, limits: Limits) -> Heif:
    """Read the sizes of all pictures, and add up the tiles of the first one.

    Raises
    ------
    DamagedImage
        If a box is cut short or no picture has a size.
    TooManyParts, TooManyFrames
        If it has more boxes, items and references, or frames, than the limits.
    """
    found = _Found(limits)
    try:
        _read(memoryview(data), 0, found)
    except (struct.error, IndexError):
        raise DamagedImage("A box of the file is cut short.") from None
    if not found.sizes:
        raise DamagedImage("The file has no picture.")
    width, height = max(found.sizes, key=lambda size: size[0] * size[1])
    shown = [found.primary, *found.auxiliary.get(found.primary, ())]
    return Heif(width, height, max(_tile_pixels(found, item) for item in shown), found.is_deep, found.exif_types)


def _tile_pixels(found: _Found, picture: int) -> int:
    """Add up the pictures that one is made of. One that is used twice is decoded twice, and so counted."""
    pixels: dict[int, int] = {}
    total = 0
    waiting = [picture]
    while waiting:
        item = waiting.pop()
        tiles = found.made_of.get(item, [])
        found.count(1 + len(tiles))  # a picture that is made of itself ends here
        waiting += tiles
        if item not in pixels:
            pixels[item] = 0 if tiles else _pixels(found, item)
        total += pixels[item]
    return total


def _pixels(found: _Found, item: int) -> int:
    numbers = [number for number in found.property_numbers.get(item, ()) if 0 < number <= len(found.properties)]
    sizes = [size for number in numbers if (size := found.properties[number - 1]) is not None]
    return max((width * height for width, height in sizes), default=0)


def _boxes(body: memoryview, at: int, found: _Found) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield kind, body and its offset in the file, of each box of a body that begins at an offset."""
    start = 0
    while start + _BOX.size <= len(body):
        found.count()
        size, kind = _BOX.unpack_from(body, start)
        head = _BOX.size
        if size == 1:
            (size,) = _LARGE.unpack_from(body, start + head)
            head += _LARGE.size
        end = start + size if size else len(body)
        if end < start + head or end > len(body):
            raise DamagedImage("A box of the file is cut short.")
        yield kind, body[start + head : end], at + start + head
        start = end


def _read(body: memoryview, at: int, found: _Found, depth: int = 0) -> None:
    if depth > _DEPTH:
        raise DamagedImage("The boxes of the file are nested too deeply.")
    for kind, inner, inner_at in _boxes(body, at, found):
        if kind in _FOLDERS:
            skipped = _FOLDERS[kind]
            _read(inner[skipped:], inner_at + skipped, found, depth + 1)
        elif kind in _READERS:
            _READERS[kind](inner, inner_at, found)


def _read_primary(body: memoryview, _: int, found: _Found) -> None:
    (found.primary,) = struct.unpack_from(">I" if body[0] else ">H", body, _FULL_BYTES)


def _read_items(body: memoryview, at: int, found: _Found) -> None:
    """Find the items that hold EXIF data."""
    head = _FULL_BYTES + (4 if body[0] else 2)
    for kind, item, item_at in _boxes(body[head:], at + head, found):
        if kind == b"infe" and item[0] >= _TYPED_ITEMS:
            type_at = _FULL_BYTES + (2 if item[0] == _TYPED_ITEMS else 4) + 2
            if bytes(item[type_at : type_at + 4]) == b"Exif":
                found.exif_types.append(item_at + type_at)


def _read_properties(body: memoryview, at: int, found: _Found) -> None:
    for kind, inner, _ in _boxes(body, at, found):
        size = None
        if kind == b"ispe":
            size = struct.unpack_from(">2I", inner, _FULL_BYTES)
            found.sizes.append(size)
        elif kind == b"av1C":
            found.is_deep |= bool(inner[2] & _AV1_DEEP)
        elif kind == b"hvcC":
            found.is_deep |= bool(inner[_HEVC_DEPTH_AT] & _HEVC_DEEP)
        found.properties.append(size)


def _read_associations(body: memoryview, _: int, found: _Found) -> None:
    """Read which properties each item has."""
    item_format = ">I" if body[0] else ">H"
    number_format, most = (">H", 0x7FFF) if body[3] & 1 else (">B", 0x7F)  # without the bit that says "essential"
    (count,) = struct.unpack_from(">I", body, _FULL_BYTES)
    at = _FULL_BYTES + 4
    for _item in range(count):
        (item,) = struct.unpack_from(item_format, body, at)
        at += struct.calcsize(item_format)
        numbers = body[at]
        found.count(1 + numbers)
        for number_at in range(
            at + 1, at + 1 + numbers * struct.calcsize(number_format), struct.calcsize(number_format)
        ):
            found.property_numbers[item].append(struct.unpack_from(number_format, body, number_at)[0] & most)
        at += 1 + numbers * struct.calcsize(number_format)


def _read_references(body: memoryview, at: int, found: _Found) -> None:
    number = "I" if body[0] else "H"
    for kind, inner, _ in _boxes(body[_FULL_BYTES:], at + _FULL_BYTES, found):
        item, count = struct.unpack_from(f">{number}H", inner)
        found.count(count)
        others = struct.unpack_from(f">{count}{number}", inner, struct.calcsize(f">{number}H"))
        if kind == b"dimg":
            found.made_of[item] += others
        elif kind == b"auxl":
            for other in others:
                found.auxiliary[other].append(item)


def _read_track(body: memoryview, _: int, found: _Found) -> None:
    width, height = struct.unpack(">2I", body[-8:])
    found.sizes.append((width >> 16, height >> 16))  # fixed-point numbers


def _read_samples(body: memoryview, at: int, found: _Found) -> None:
    """Read the size of the frames of an animation."""
    for _kind, inner, _ in _boxes(body[_FULL_BYTES + 4 :], at + _FULL_BYTES + 4, found):
        if len(inner) >= _SAMPLE_ENTRY_BYTES:
            found.sizes.append(struct.unpack_from(">2H", inner, _SAMPLE_SIZE_AT))


def _read_frames(body: memoryview, _: int, found: _Found) -> None:
    (frames,) = struct.unpack_from(">I", body, _FULL_BYTES + 4)
    if frames > found.limits.frames:
        raise TooManyFrames(f"The animation has {frames:,} frames; at most {found.limits.frames:,} are allowed.")


_READERS: Final[Mapping[bytes, Callable[[memoryview, int, _Found], None]]] = MappingProxyType(
    {
        b"pitm": _read_primary,
        b"iinf": _read_items,
        b"ipco": _read_properties,
        b"ipma": _read_associations,
        b"iref": _read_references,
        b"tkhd": _read_track,
        b"stsd": _read_samples,
        b"stsz": _read_frames,
    }
)
