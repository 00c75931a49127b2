"""Checks untrusted TIFF files: the directories are walked before a pixel is decoded.

walk   check the directory of the first picture: number and offsets of values, no tag twice
check  check the size of its strips or tiles, after the decoder has read their numbers

References
----------
.. [1] Adobe, TIFF Revision 6.0, 1992.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from typing import Any, Final

from engine.errors import DamagedImage, DecodesTooLarge, TooManyFrames, TooManyParts, TooManyPixels
from engine.limits import Limits

_DIRECTORY_AT: Final = 4
_ENTRY, _ENTRY_BYTES = "HHI", 12  # tag, type, number of values; then the values or their offset
_VALUE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # by type
_INLINE_BYTES: Final = 4
_WIDTH, _HEIGHT, _BITS, _PLANAR = 256, 257, 258, 284
_STRIPS, _STRIP_HEIGHT, _STRIP_BYTES = 273, 278, 279
_TILES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 324, 322, 323, 325
_SEPARATE: Final = 2  # planar configuration: each channel has strips of its own
_PIXEL_BYTES: Final = 4


def walk(data: bytes, limits: Limits) -> int:
    """Count values and frames. Pages that lie outside the file are ignored.

    Returns
    -------
    pieces
        Number of tags, strips and tiles of the first picture; the decoder processes each of them separately.

    Raises
    ------
    DamagedImage
        If the file ends within its first directory; if values share bytes, so that reading all would cost more than the
        file's size; or if a tag comes twice, which libraries resolve differently.
    TooManyFrames, TooManyParts
        As their names say.
    """
    order = "<" if data.startswith(b"II") else ">"
    try:
        (at,) = struct.unpack_from(order + "I", data, _DIRECTORY_AT)
        pieces = _pieces(data, order, at, limits)
    except struct.error:
        raise DamagedImage("The TIFF file is cut short.") from None
    with contextlib.suppress(struct.error):
        _count_frames(data, order, at, limits)
    return pieces


def _pieces(data: bytes, order: str, at: int, limits: Limits) -> int:
    (entries,) = struct.unpack_from(order + "H", data, at)
    if at + 2 + entries * _ENTRY_BYTES > len(data):
        raise DamagedImage("The TIFF file is cut short.")
    if entries > limits.parts:
        raise TooManyParts(f"The TIFF file has more than {limits.parts:,} tags.")
    pieces, room_bytes = 0, len(data)
    seen = set()
    for entry_at in range(at + 2, at + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
        tag, kind, count = struct.unpack_from(order + _ENTRY, data, entry_at)
        value_bytes = _VALUE_BYTES[kind] if kind < len(_VALUE_BYTES) else 0
        room_bytes -= count * value_bytes if count * value_bytes > _INLINE_BYTES else 0
        seen.add(tag)
        if room_bytes < 0:
            raise DamagedImage("Values of the TIFF file share bytes.")
        # Bytes are read in one step, numbers one by one; the offset of a strip is a number, whatever its type.
        if (value_bytes > 1 or tag in (_STRIPS, _TILES)) and count > limits.parts:
            raise TooManyParts(f"A tag of the TIFF file has more than {limits.parts:,} values.")
        if tag in (_STRIPS, _TILES):
            pieces = max(pieces, count)
    if len(seen) < entries:
        raise DamagedImage("The TIFF file's directory has a tag twice.")
    return int(entries) + pieces


def _count_frames(data: bytes, order: str, at: int, limits: Limits) -> None:
    frames = 0
    while at:
        frames += 1
        if frames > limits.frames:
            raise TooManyFrames(f"The TIFF file has more than {limits.frames:,} pages.")
        (entries,) = struct.unpack_from(order + "H", data, at)
        (at,) = struct.unpack_from(order + "I", data, at + 2 + entries * _ENTRY_BYTES)


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
