"""Decodes JPEG by OpenCV, and in the colours that OpenCV shows wrongly by Pillow; both use libjpeg-turbo."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.headers import exif, jpeg
from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import Charge, check_size, free
from engine.limits import Limits

_RGB_CHANNELS: Final = 3


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a JPEG file."""
    found = jpeg.walk(data, limits)
    check_size(found.width, found.height, found.pixel_bytes, limits, charge)
    if found.channels not in (1, _RGB_CHANNELS):
        # OpenCV decodes CMYK with wrong colours. Pillow would parse all EXIF values, so these are removed.
        pixels = by_pillow(jpeg.strip_metadata(data, found), "JPEG", limits, free)
    else:
        pixels = by_opencv(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return exif.undo_orientation(pixels, found.orientation)
