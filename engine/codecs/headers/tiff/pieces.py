"""Checks the size of a TIFF file's strips or tiles, after the decoder has read their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.codecs.headers.tiff.directory import Directory
from engine.codecs.headers.tiff.tags import (
    BITS,
    HEIGHT,
    LISTS,
    PLANAR,
    SIZES,
    STRIP_BYTES,
    STRIP_HEIGHT,
    STRIPS,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILES,
    WIDTH,
)
from engine.errors import DamagedImage, DecodesTooLarge, TooManyPixels
from engine.limits import Limits

_SEPARATE: Final = 2  # planar configuration: each channel has strips of its own
_PIXEL_BYTES: Final = 4


def check(data: bytes, tags: Mapping[int, Any], limits: Limits) -> int:
    """Check the strips or tiles of the first picture: each is unpacked completely, however small the picture is.

    Parameters
    ----------
    data
        The file, already checked by `engine.codecs.headers.tiff.pages.walk`.
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
    width, height = _number(tags, WIDTH), _number(tags, HEIGHT)
    if TILES in tags:
        across, down = _number(tags, TILE_WIDTH), _number(tags, TILE_HEIGHT)
        places, sizes = tags[TILES], tags.get(TILE_BYTES, ())
    else:
        across, down = width, min(_number(tags, STRIP_HEIGHT, height), height)
        places, sizes = tags.get(STRIPS, ()), tags.get(STRIP_BYTES, ())
    if across * down > limits.pixels:
        raise TooManyPixels(f"The TIFF file's tiles have {across:,} x {down:,} pixels: more than {limits.pixels:,}.")
    if not across * down:
        raise DamagedImage("The TIFF file's strips or tiles are empty.")
    pieces = max(len(places), -(-width // across) * -(-height // down))
    if len(places) > 1 and sum(sizes) > len(data):
        raise DamagedImage("Strips or tiles of the TIFF file share bytes.")
    pixel_bytes = _PIXEL_BYTES
    if tags.get(PLANAR) == _SEPARATE:
        bits = tags.get(BITS, 1)
        pixel_bytes = -(-(max(bits) if isinstance(bits, tuple) else bits) // 8)
    decoded_bytes = pieces * across * down * pixel_bytes
    if decoded_bytes > limits.decoded_bytes:
        raise DecodesTooLarge(
            f"The TIFF file's strips or tiles decode to {decoded_bytes:,} bytes; "
            f"at most {limits.decoded_bytes:,} are allowed."
        )
    return decoded_bytes


def sizes(directory: Directory) -> dict[int, Any]:
    """Return the tags that `check` needs, for a decoder that does not say what it has read."""
    found: dict[int, Any] = {tag: numbers for tag, numbers in directory.numbers.items() if tag in LISTS}
    return found | {tag: numbers[0] for tag, numbers in directory.numbers.items() if tag in SIZES and numbers}


def _number(tags: Mapping[int, Any], tag: int, default: int = 0) -> int:
    value = tags.get(tag, default)
    if not isinstance(value, int):
        raise DamagedImage("A size in the TIFF file is not a number.")
    return value
