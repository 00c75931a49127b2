"""Decodes BMP by Pillow, and run lengths by OpenCV, since Pillow decodes these byte by byte, in Python.

Some programs write runs that are longer than their row. OpenCV refuses these; Pillow cuts them off, as viewers do.
"""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size
from engine.errors import DamagedImage
from engine.limits import Limits

_HEADER: Final = struct.Struct("<I2i2HI")
"""Its own bytes, width, height, planes, bits of a pixel, compression."""
_HEADER_AT: Final = 14
_SMALLEST_HEADER_BYTES: Final = 40
"""A smaller one is that of OS/2: its sides have 16 bits each, and it has no compression."""
_RUN_LENGTHS: Final = frozenset({1, 2})
"""Compressions: run lengths of pixels of 8 and of 4 bits."""
_STEPS_MAX: Final = 2_000_000
"""Bytes and pixels of run lengths that Pillow decodes; they take it half a second."""
_STEP_COST_BYTES: Final = 40
"""Such a step takes as long as decoding this many bytes."""


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a BMP file.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    if len(data) < _HEADER_AT + _HEADER.size:
        raise DamagedImage("The BMP file ends before its header does.")
    header_bytes, width, height, _, _, compression = _HEADER.unpack_from(data, _HEADER_AT)
    if header_bytes < _SMALLEST_HEADER_BYTES or compression not in _RUN_LENGTHS:
        return by_pillow(data, "BMP", limits, charge)
    check_size(abs(width), abs(height), PIXEL_BYTES, limits, charge)
    try:
        return by_opencv(data, cv2.IMREAD_UNCHANGED)
    except DamagedImage:
        steps = len(data) + abs(width * height)
        if steps > _STEPS_MAX:
            raise
        charge(steps * _STEP_COST_BYTES)
        return by_pillow(data, "BMP", limits, charge)
