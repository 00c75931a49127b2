"""How a camera was held: the orientation tag of EXIF data."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

UPRIGHT: Final = 1
"""The value of a camera held upright; the values go to 8."""
ORIENTATION: Final = 0x0112
"""The tag."""
_SHORT: Final = 3
_TURNS: Final = {  # to be seen: rows and columns exchanged?, then the steps along both
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_PREFIX = b"Exif\x00\x00"


def orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data (a TIFF header and its first directory); usually 1 to 8.

    Damaged or missing data means upright: nobody's picture is refused for its metadata.
    """
    exif = exif.removeprefix(_PREFIX)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, at + 2 + 12 * index)
            if tag == ORIENTATION:
                return int(value) if kind == _SHORT else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


def turn_upright(pixels: NDArray[np.uint8], held: int) -> NDArray[np.uint8]:
    """Undo how the camera was held.

    Parameters
    ----------
    pixels : (h, w) or (h, w, c) uint8
    held
        The orientation; anything but 2 to 8 means upright.
    """
    if held not in _TURNS:
        return pixels
    transposed, rows, columns = _TURNS[held]
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    return pixels[::rows, ::columns]
