"""Reads and undoes the orientation, which says how the camera was held: a tag of EXIF data, or else of XMP."""

from __future__ import annotations

import re
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

UPRIGHT: Final = 1
"""The value for an upright camera; valid values are 1 to 8."""
_UNSAID: Final = 0
ORIENTATION: Final = 0x0112
"""The tag."""
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Types of a value that are integers: the standard demands type 3, and cameras and programs write the others, too."""
_TRANSFORMS: Final = {  # whether rows and columns are exchanged, then the steps along both
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_PREFIX = b"Exif\x00\x00"
_IN_XMP: Final = re.compile(rb"tiff:Orientation(?:=[\"']|>)([0-9])")
HEX_BYTES: Final = 8_192
"""Of a profile in hexadecimal, as many digits are looked at: the tag is in the first directory."""


def read_orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data (a TIFF header and its first directory): usually 1 to 8, or 0 if it has none.

    What is damaged says nothing: no picture is refused because of its metadata.
    """
    exif = exif.removeprefix(_PREFIX)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return _UNSAID
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for index in range(count):
            entry_at = at + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", exif, entry_at)
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], exif, entry_at + 8)
                return int(value)
    except (struct.error, KeyError):  # it is cut short, or the value is no integer
        pass
    return _UNSAID


def read_hex_orientation(profile: bytes) -> int:
    """Read the orientation from EXIF data as ImageMagick writes it in text: a name, a size, hexadecimal digits."""
    digits = b"".join(profile[:HEX_BYTES].split()[2:])
    try:
        return read_orientation(bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii")))
    except ValueError:  # other characters
        return _UNSAID


def read_xmp_orientation(xmp: bytes) -> int:
    """Read the orientation from XMP, in which some programs write it instead; 0 if it has none."""
    found = _IN_XMP.search(xmp)
    return int(found[1]) if found else _UNSAID


def undo_orientation(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and flip a picture so that it appears upright.

    Parameters
    ----------
    pixels : (h, w) or (h, w, c) uint8
    orientation
        The tag's value; any other than 2 to 8 means upright.
    """
    if orientation not in _TRANSFORMS:
        return pixels
    transposed, rows, columns = _TRANSFORMS[orientation]
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    return pixels[::rows, ::columns]
