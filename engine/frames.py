"""How many frames (pages) a GIF or TIFF file has, and how large a TIFF's tiles are: nothing is decoded.

A walk that leaves the file ends there: whether the first frame is whole is the decoder's to say.

References
----------
.. [1] CompuServe, Graphics Interchange Format, Version 89a, 1990.
.. [2] Adobe, TIFF Revision 6.0, 1992.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from engine.errors import DamagedImage, ImageTooLarge
from engine.formats import Format
from engine.limits import Limits

_GIF_HEADER_BYTES: Final = 13
_GIF_COLOURS, _GIF_COLOURS_AT = 0x80, 10  # flag of a colour table, and where the flags of the file lie
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
_GIF_IMAGE_BYTES: Final = 10
_GIF_PIECES_EACH: Final = 16  # pieces (of up to 255 bytes) that a part may have on average
_TIFF_ENTRY = ("HHI", 12)  # tag, type, how many values; then the values, or where they are
_TIFF_VALUE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # by type
_TIFF_PIECES: Final = frozenset({273, 279, 324, 325})  # offsets and sizes of strips, of tiles
_TIFF_INLINE_BYTES: Final = 4
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323


def check_frames(data: bytes, kind: Format, limits: Limits) -> int:
    """Count frames.

    Returns
    -------
    pieces
        Of a TIFF file: tags, strips and tiles of the first frame, at each of which the decoder works for itself.

    Raises
    ------
    DamagedImage
        If values of a TIFF file share bytes: what reads them all would read more than there is.
    ImageTooLarge
        If there are more frames, or more parts on the way to them, than the limits.
    """
    walk = {"GIF": _gif_parts, "TIFF": _tiff_parts}.get(kind)
    if walk is None:
        return 0
    frames = 0
    pieces = 0
    try:
        if kind == "TIFF":
            pieces = _tiff_pieces(data, limits)
        for part, is_frame in enumerate(walk(data, limits)):
            frames += is_frame
            if frames > limits.frames:
                raise ImageTooLarge(f"The image has more than {limits.frames:,} frames.")
            if part >= limits.parts:
                raise ImageTooLarge(f"The {kind} file has more than {limits.parts:,} parts.")
    except (IndexError, struct.error):
        pass
    return pieces


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


def _tiff_pieces(data: bytes, limits: Limits) -> int:
    order, at = _tiff_start(data)
    (entries,) = struct.unpack_from(order + "H", data, at)
    layout, entry_bytes = _TIFF_ENTRY
    pieces, room_bytes = 0, len(data)
    for entry_at in range(at + 2, at + 2 + entries * entry_bytes, entry_bytes):
        tag, kind, count = struct.unpack_from(order + layout, data, entry_at)
        size_bytes = count * (_TIFF_VALUE_BYTES[kind] if kind < len(_TIFF_VALUE_BYTES) else 0)
        room_bytes -= size_bytes if size_bytes > _TIFF_INLINE_BYTES else 0
        if tag in _TIFF_PIECES:
            pieces = max(pieces, count)
    if pieces > limits.parts:
        raise ImageTooLarge(f"The TIFF file has more than {limits.parts:,} strips or tiles.")
    if room_bytes < 0:
        raise DamagedImage("Values of the TIFF file share bytes.")
    return int(entries) + pieces


def _tiff_parts(data: bytes, _: Limits) -> Iterator[bool]:
    order, at = _tiff_start(data)
    while at:
        (entries,) = struct.unpack_from(order + "H", data, at)
        yield True
        (at,) = struct.unpack_from(order + "I", data, at + 2 + entries * _TIFF_ENTRY[1])


def check_tiles(data: bytes, tags: Mapping[int, object], limits: Limits) -> None:
    """Look at the tiles of a TIFF file's first picture: each is decoded whole, however small the picture is.

    Parameters
    ----------
    data
        The file.
    tags
        Of its first directory, as one decoder reads them.
    limits
        A tile may have as many pixels as a picture.

    Raises
    ------
    ImageTooLarge
        If a tile has more.
    DamagedImage
        If a tag comes twice: the library that unpacks may go by the one that is not in `tags`.
    """
    order, at = _tiff_start(data)
    count = int.from_bytes(data[at : at + 2], "little" if order == "<" else "big")
    lines = data[at + 2 : at + 2 + count * _TIFF_ENTRY[1]]
    seen = [
        tag for (tag,) in struct.iter_unpack(order + "H10x", lines[: len(lines) // _TIFF_ENTRY[1] * _TIFF_ENTRY[1]])
    ]
    if len(set(seen)) < len(seen):
        raise DamagedImage("The TIFF file's directory says something twice.")
    across, down = (int(str(tags.get(tag, 0))) for tag in (_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT))
    if across * down > limits.pixels:
        raise ImageTooLarge(
            f"The TIFF file's tiles have {across:,} x {down:,} pixels; at most {limits.pixels:,} are allowed."
        )


def _tiff_start(data: bytes) -> tuple[str, int]:
    """Give the order of a TIFF file's bytes, and where its first directory lies."""
    order = "<" if data.startswith(b"II") else ">"
    return order, struct.unpack_from(order + "I", data, 4)[0]
