"""Decodes AVIF by Pillow, and HEIF (HEIC) by libheif; of a file with several pictures the first, upright."""

from __future__ import annotations

from typing import Final

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin

from engine.codecs.headers import exif, heif
from engine.codecs.pixels.eight_bit import eight_bit, high_bytes
from engine.codecs.pixels.libraries import opened_by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size, free
from engine.errors import DecodesTooLarge
from engine.limits import Limits

# A worker has one core; threads would only add to its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False

_DEEP_PIXEL_BYTES: Final = 8
"""Of a pixel with more than 8 bits a channel, which is in memory with all its bits, too."""
_NOTHING: Final = b"skip"


def decode_avif(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode an AVIF file.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    found = _check(data, limits, charge)
    if found.exif_types:  # Pillow would parse all values, and none of them counts: the container says how to rotate
        hidden = bytearray(data)
        for at in found.exif_types:
            hidden[at : at + len(_NOTHING)] = _NOTHING
        data = bytes(hidden)
    with opened_by_pillow(data, "AVIF", limits, free) as image:
        image.load()
        return exif.undo_orientation(eight_bit(image), image.getexif().get(exif.ORIENTATION, exif.UPRIGHT))


def decode_heif(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a HEIF file.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    _check(data, limits, charge)
    image = pi_heif.open_heif(data)
    width, height = image.size
    check_size(width, height, PIXEL_BYTES, limits, free)  # the first picture may be too small, beside a larger one
    pixels = np.array(image)
    return high_bytes(pixels) if pixels.dtype == np.uint16 else pixels  # libheif scales colours to 8 bits, but not grey


def _check(data: bytes, limits: Limits, charge: Charge) -> heif.Heif:
    found = heif.walk(data, limits)
    pixel_bytes = _DEEP_PIXEL_BYTES if found.is_deep else PIXEL_BYTES
    check_size(found.width, found.height, pixel_bytes, limits, charge)
    if found.tile_pixels * PIXEL_BYTES > limits.decoded_bytes:
        raise DecodesTooLarge(
            f"The tiles of the image decode to {found.tile_pixels * PIXEL_BYTES:,} bytes; "
            f"at most {limits.decoded_bytes:,} are allowed."
        )
    charge(max(0, found.tile_pixels - found.width * found.height) * PIXEL_BYTES)  # what is decoded beyond the picture
    return found
