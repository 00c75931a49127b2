"""Decodes TIFF by Pillow, whose strips and tiles are checked first."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin, TiffTags

from engine.codecs.headers import exif
from engine.codecs.headers.tiff import pieces, rewriting
from engine.codecs.headers.tiff.directory import Directory
from engine.codecs.headers.tiff.pages import Tiff, overviews, walk
from engine.codecs.pixels.eight_bit import eight_bit, numbers_to_eight_bit
from engine.codecs.pixels.libraries import opened_by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size, free
from engine.errors import DamagedImage
from engine.limits import Limits

_PIECE_COST_BYTES: Final = 2_000
"""Pillow processes each tag, strip and tile in Python: it takes as long as decoding this many bytes."""

_FLOAT_BYTES: Final = 4
"""Of a pixel of one channel, in the only depth of floats that Pillow reads."""


def decode(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode the first picture of a TIFF file; if it has too many pixels, its largest overview that has not.

    Parameters, result and errors: `engine.codecs.decode.decode`. Damaged files may raise any exception, which becomes
    `DamagedImage` there.
    """
    found = walk(data, limits)
    charge(found.first.pieces * _PIECE_COST_BYTES)
    orientation = found.first.orientation
    overview = _overview(data, found, limits)
    if overview is not None:
        data = rewriting.beginning_at(data, overview)
        charge(overview.pieces * _PIECE_COST_BYTES)
    shown = overview or found.first
    pixels = (_decode_floats if shown.is_of_floats else _decode)(data, shown, limits, charge)
    return exif.undo_orientation(pixels, orientation)


def _decode(data: bytes, shown: Directory, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    data = rewriting.upright(data, shown)  # Pillow would rotate the picture, but not for every type of the tag
    with opened_by_pillow(data, "TIFF", limits, charge) as image:
        if not isinstance(image, TiffImagePlugin.TiffImageFile):
            raise DamagedImage("The TIFF file cannot be decoded: it is damaged.")
        pixels = image.size[0] * image.size[1]
        charge(max(0, pieces.check(data, image.tag_v2, limits) - pixels * PIXEL_BYTES))  # padding beyond the picture
        tags = image.getexif()
        for pointer in TiffTags.TAGS_V2_GROUPS:  # Pillow would parse these directories, value by value
            if pointer in tags:
                del tags[pointer]
        tags[exif.ORIENTATION] = exif.UPRIGHT  # where it is missing, Pillow would look for it in XMP
        image.load()
        return eight_bit(image)


def _decode_floats(data: bytes, shown: Directory, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode by OpenCV: Pillow reads only one channel of 32 bits, and not in every order of bytes."""
    check_size(shown.width, shown.height, max(PIXEL_BYTES, shown.pixel_bytes), limits, charge)
    charge(max(0, pieces.check(data, pieces.sizes(shown), limits) - shown.width * shown.height * PIXEL_BYTES))
    # OpenCV reads no floats of 16 bits.
    readable = rewriting.as_integers(data, shown) if shown.is_of_half_floats else data
    numbers: NDArray[Any] | None = cv2.imdecode(np.frombuffer(readable, np.uint8), cv2.IMREAD_UNCHANGED)
    if numbers is not None and shown.is_of_half_floats:
        numbers = numbers.view(np.float16) if numbers.dtype == np.uint16 else None
    if numbers is None or numbers.dtype.kind != "f":
        if shown.pixel_bytes == _FLOAT_BYTES:
            return _decode(data, shown, limits, free)  # Pillow needs fewer tags
        raise DamagedImage("The TIFF file's numbers cannot be decoded: it is damaged, or of a kind that is not read.")
    if numbers.ndim > 2:  # noqa: PLR2004  # height, width, channels: blue, green, red, alpha
        numbers = numbers[:, :, [2, 1, 0, 3][: numbers.shape[2]]]
    return numbers_to_eight_bit(numbers)


def _overview(data: bytes, found: Tiff, limits: Limits) -> Directory | None:
    """Return the overview that stands for a picture of too many pixels; None if there is none, or no need."""
    if not limits.pixels < found.first.width * found.first.height <= limits.reduced_pixels:
        return None
    small = [each for each in overviews(data, found, limits) if each.width * each.height <= limits.pixels]
    return max(small, key=lambda each: each.width * each.height, default=None)
