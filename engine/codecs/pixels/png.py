"""Decodes PNG: what is small and grey by `grey_png`, other pictures by OpenCV."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.headers import exif, png
from engine.codecs.headers.png_header import GREY
from engine.codecs.pixels import grey_png as grey
from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import Charge, check_size, free
from engine.limits import Limits

_BYTE_BITS: Final = 8


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a PNG file.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    found = png.walk(data, limits)
    header = found.header
    check_size(header.width, header.height, header.pixel_bytes, limits, charge)
    if not found.has_end:
        png.check_pixels(found)
    is_grey = header.colour_type == GREY
    if found.has_transparent_colour and is_grey:
        return by_pillow(found.data, "PNG", limits, free)  # OpenCV ignores the transparent colour
    pixels = None
    if is_grey and header.depth == _BYTE_BITS and not header.interlace and header.width * header.height <= grey.MOST_PX:
        pixels = grey.decode(found.deflated, header.width, header.height)
    if pixels is None:
        pixels = by_opencv(found.data, cv2.IMREAD_UNCHANGED)
    return exif.undo_orientation(pixels, found.orientation)
