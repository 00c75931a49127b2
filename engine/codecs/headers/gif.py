"""Checks untrusted GIF files: all blocks are counted before a pixel is decoded.

References
----------
.. [1] CompuServe, Graphics Interchange Format, Version 89a, 1990.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.errors import TooManyFrames, TooManyParts
from engine.limits import Limits

_HEADER_BYTES: Final = 13
_COLOURS, _COLOURS_AT = 0x80, 10  # flag of a colour table, and the offset of the file's flags
_IMAGE, _EXTENSION = 0x2C, 0x21
_IMAGE_BYTES: Final = 10
PIECES_EACH: Final = 16
"""The most sub-blocks (of up to 255 bytes) that a part may have on average."""


def walk(data: bytes, limits: Limits) -> None:
    """Count frames and parts. At the end of a truncated file the check stops: the decoder finds out if a frame is cut.

    Raises
    ------
    TooManyFrames, TooManyParts
        As their names say.
    """
    frames = 0
    try:
        for part, is_frame in enumerate(_parts(data, limits)):
            frames += is_frame
            if frames > limits.frames:
                raise TooManyFrames(f"The animation has more than {limits.frames:,} frames.")
            if part >= limits.parts:
                raise TooManyParts(f"The GIF file has more than {limits.parts:,} parts.")
    except IndexError:
        pass


def _parts(data: bytes, limits: Limits) -> Iterator[bool]:
    """Yield, for each block, whether it is a frame."""
    pieces = limits.parts * PIECES_EACH
    at = _HEADER_BYTES + _colour_bytes(data[_COLOURS_AT])
    while data[at] in (_IMAGE, _EXTENSION):
        is_frame = data[at] == _IMAGE
        yield is_frame
        # An image's colour table is followed by one byte for LZW; an extension's introducer by its label.
        at += _IMAGE_BYTES + _colour_bytes(data[at + 9]) + 1 if is_frame else 2
        while data[at]:
            at += 1 + data[at]
            pieces -= 1
            if not pieces:
                raise TooManyParts(f"The GIF file is cut into {limits.parts * PIECES_EACH:,} pieces or more.")
        at += 1


def _colour_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _COLOURS else 0
