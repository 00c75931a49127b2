"""Decodes JPEG by OpenCV, and in the colours that OpenCV shows wrongly by Pillow; both use libjpeg-turbo."""

from __future__ import annotations

from types import MappingProxyType
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
_REDUCED_FLAGS: Final = MappingProxyType(
    {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
)
"""By the number that the sides are divided by, which libjpeg does in the transform of each block."""
_IN_COLOUR: Final = cv2.IMREAD_REDUCED_COLOR_2 - cv2.IMREAD_REDUCED_GRAYSCALE_2
_NOISE: Final = ((b"\x6b\x1d\x35" * 100, 0), (b"\x94\xe2\xca" * 100, 4))
"""Bytes of a scan, each the complement of the other: all codes and signs occur. And which restart marker comes first:
libjpeg passes over an interval whose marker is one or two too early."""
_RESTS: Final = tuple(
    b"".join(noise + bytes([0xFF, 0xD0 + (first + n) % 8]) for n in range(16)) for noise, first in _NOISE
)
"""The same in intervals, one of which continues a scan that is cut between two of its own."""


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a JPEG file; if it has too many pixels, reduced by the decoder's own transform.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    found = jpeg.walk(data, limits)
    reduction = _reduction(found, limits)
    width, height = -(-found.width // reduction), -(-found.height // reduction)
    decodings = 1 if found.end_at is None else jpeg.ENDLESS_DECODINGS
    for _ in range(decodings):
        if reduction > 1:
            # A pixel that is only reduced costs about as much as a decoded byte.
            charge(found.coefficient_bytes if found.is_buffered else found.width * found.height)
        check_size(width, height, found.pixel_bytes, limits, charge)
    pixels = (
        _decode_endless(data, found, reduction, limits) if decodings > 1 else _decode(data, found, reduction, limits)
    )
    return exif.undo_orientation(pixels, found.orientation)


def _reduction(found: jpeg.Jpeg, limits: Limits) -> int:
    """Return the least number to divide the sides by so that the picture is within the limits; 1 if there is none."""
    pixels = found.width * found.height
    most = min(limits.pixels, limits.decoded_bytes // max(1, found.pixel_bytes))
    if found.channels not in (1, _RGB_CHANNELS) or not most < pixels <= limits.reduced_pixels:
        return 1
    if found.is_buffered and found.coefficient_bytes > limits.decoded_bytes:
        return 1
    fitting = [each for each in _REDUCED_FLAGS if -(-found.width // each) * -(-found.height // each) <= most]
    return min(fitting, default=1)


def _decode(data: bytes, found: jpeg.Jpeg, reduction: int, limits: Limits) -> NDArray[np.uint8]:
    if found.channels not in (1, _RGB_CHANNELS):
        # OpenCV decodes CMYK with wrong colours. Pillow would parse all EXIF values, so these are removed.
        return by_pillow(jpeg.strip_metadata(data, found), "JPEG", limits, free)
    flags = cv2.IMREAD_ANYCOLOR
    if reduction > 1:
        flags = _REDUCED_FLAGS[reduction] + (0 if found.channels == 1 else _IN_COLOUR)
    return by_opencv(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)


def _decode_endless(data: bytes, found: jpeg.Jpeg, reduction: int, limits: Limits) -> NDArray[np.uint8]:
    """Decode a file without an end marker if all its pixels are there.

    Where a scan is cut, libjpeg makes up the rest of its pixels and gives a warning, which the libraries that call it
    do not pass on. Therefore other bytes are put there: after a whole scan libjpeg skips them, and in a cut one they
    become pixels. The two that are tried differ in every bit, and then so do the pixels.
    """
    pixels, others = (_decode(jpeg.with_end(data, found, rest), found, reduction, limits) for rest in _RESTS)
    if not np.array_equal(pixels, others):
        raise DamagedImage("The JPEG file is cut short.")
    return pixels
