"""How many frames (pages) a GIF or TIFF file has, by a walk along its headers: nothing is decoded.

A walk that leaves the file ends there: whether the first frame is whole is the decoder's to say.

References
----------
.. [1] CompuServe, Graphics Interchange Format, Version 89a, 1990.
.. [2] Adobe, TIFF Revision 6.0, 1992.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from engine.errors import ImageTooLarge
from engine.formats import Format
from engine.limits import Limits

_GIF_HEADER_BYTES: Final = 13
_GIF_COLOURS, _GIF_COLOURS_AT = 0x80, 10  # flag of a colour table, and where the flags of the file lie
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
_GIF_IMAGE_BYTES: Final = 10
_GIF_PIECES_EACH: Final = 16  # pieces (of up to 255 bytes) that a part may have on average
_TIFF_ENTRY_BYTES: Final = 12


def check_frames(data: bytes, kind: Format, limits: Limits) -> None:
    """Count frames.

    Raises
    ------
    ImageTooLarge
        If there are more frames, or more parts on the way to them, than the limits.
    """
    walk = {"GIF": _gif_parts, "TIFF": _tiff_parts}.get(kind)
    if walk is None:
        return
    frames = 0
    try:
        for part, is_frame in enumerate(walk(data, limits)):
            frames += is_frame
            if frames > limits.frames:
                raise ImageTooLarge(f"The image has more than {limits.frames:,} frames.")
            if part >= limits.parts:
                raise ImageTooLarge(f"The {kind} file has more than {limits.parts:,} parts.")
    except (IndexError, struct.error):
        return


def _gif_parts(data: bytes, limits: Limits) -> Iterator[bool]:
    pieces = limits.parts * _GIF_PIECES_EACH
    at = _GIF_HEADER_BYTES + _colour_bytes(data[_GIF_COLOURS_AT])
    while data[at] in (_GIF_IMAGE, _GIF_EXTENSION):
        is_frame = data[at] == _GIF_IMAGE
        yield is_frame
        # Behind an image's colours comes one byte of LZW; behind an extension's mark its label.
        at += _GIF_IMAGE_BYTES + _colour_bytes(data[at + 9]) + 1 if is_frame else 2
        while data[at]:
            at += 1 + data[at]
            pieces -= 1
            if not pieces:
                raise ImageTooLarge("The GIF file is cut into too many pieces.")
        at += 1


def _colour_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _GIF_COLOURS else 0


def _tiff_parts(data: bytes, _: Limits) -> Iterator[bool]:
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    while at:
        (entries,) = struct.unpack_from(order + "H", data, at)
        yield True
        (at,) = struct.unpack_from(order + "I", data, at + 2 + entries * _TIFF_ENTRY_BYTES)
