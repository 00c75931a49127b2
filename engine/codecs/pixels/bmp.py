"""Decodes BMP by Pillow, and run lengths by OpenCV, since Pillow decodes these byte by byte, in Python."""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size
from engine.limits import Limits

_SIZE, _SIZE_AT = struct.Struct("<2i"), 18
_COMPRESSION_AT: Final = 30
_RUN_LENGTHS: Final = (b"\x01\0\0\0", b"\x02\0\0\0")


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a BMP file."""
    if data[_COMPRESSION_AT : _COMPRESSION_AT + 4] not in _RUN_LENGTHS:
        return by_pillow(data, "BMP", limits, charge)
    width, height = _SIZE.unpack_from(data, _SIZE_AT)
    check_size(abs(width), abs(height), PIXEL_BYTES, limits, charge)
    return by_opencv(data, cv2.IMREAD_UNCHANGED)
