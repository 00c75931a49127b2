"""Decodes JPEG by OpenCV, and in the colours that OpenCV shows wrongly by Pillow; both use libjpeg-turbo."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.headers import exif, jpeg
from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import Charge, check_size, free
from engine.errors import DamagedImage
from engine.limits import Limits

_RGB_CHANNELS: Final = 3
_NOISE: Final = ((b"\x6b\x1d\x35" * 100, 0), (b"\x94\xe2\xca" * 100, 4))
"""Bytes of a scan, each the complement of the other: all codes and signs occur. And which restart marker comes first:
libjpeg passes over an interval whose marker is one or two too early."""
_RESTS: Final = tuple(
    b"".join(noise + bytes([0xFF, 0xD0 + (first + n) % 8]) for n in range(16)) for noise, first in _NOISE
)
"""The same in intervals, one of which continues a scan that is cut between two of its own."""


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a JPEG file."""
    found = jpeg.walk(data, limits)
    check_size(found.width, found.height, found.pixel_bytes, limits, charge)
    if found.end_at is None:
        pixels = _decode(data, found, limits)
    else:
        for _ in _RESTS:
            check_size(found.width, found.height, found.pixel_bytes, limits, charge)
        pixels = _decode_endless(data, found, limits)
    return exif.undo_orientation(pixels, found.orientation)


def _decode(data: bytes, found: jpeg.Jpeg, limits: Limits) -> NDArray[np.uint8]:
    if found.channels not in (1, _RGB_CHANNELS):
        # OpenCV decodes CMYK with wrong colours. Pillow would parse all EXIF values, so these are removed.
        return by_pillow(jpeg.strip_metadata(data, found), "JPEG", limits, free)
    return by_opencv(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _decode_endless(data: bytes, found: jpeg.Jpeg, limits: Limits) -> NDArray[np.uint8]:
    """Decode a file without an end marker if all its pixels are there.

    Where a scan is cut, libjpeg makes up the rest of its pixels and gives a warning, which the libraries that call it
    do not pass on. Therefore other bytes are put there: after a whole scan libjpeg skips them, and in a cut one they
    become pixels. The two that are tried differ in every bit, so one of them differs from what libjpeg assumes.
    """
    pixels = _decode(jpeg.with_end(data, found), found, limits)
    for rest in _RESTS:
        if not np.array_equal(pixels, _decode(jpeg.with_end(data, found, rest), found, limits)):
            raise DamagedImage("The JPEG file is cut short.")
    return pixels
