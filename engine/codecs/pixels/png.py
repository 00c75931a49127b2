"""Decodes PNG: what is small and grey by `grey_png`, other pictures by OpenCV."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs.headers import exif, png
from engine.codecs.headers.png_header import GREY, Header
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
    plain = png.walk_plain(data, limits)
    if plain is not None:
        header, deflated = plain
        check_size(header.width, header.height, header.pixel_bytes, limits, charge)
        pixels = _small_grey(header, deflated)
        return by_opencv(data, cv2.IMREAD_UNCHANGED) if pixels is None else pixels
    found = png.walk(data, limits)
    header = found.header
    check_size(header.width, header.height, header.pixel_bytes, limits, charge)
    if not found.has_end:
        png.check_pixels(found)
    if found.has_transparent_colour and header.colour_type == GREY:
        return by_pillow(found.data, "PNG", limits, free)  # OpenCV ignores the transparent colour
    pixels = _small_grey(header, found.deflated)
    if pixels is None:
        pixels = by_opencv(found.data, cv2.IMREAD_UNCHANGED)
    return exif.undo_orientation(pixels, found.orientation)


def _small_grey(header: Header, deflated: bytes) -> NDArray[np.uint8] | None:
    """Decode what is small and grey; None if it is not, or if OpenCV must decide whether it is damaged."""
    if header.colour_type != GREY or header.depth != _BYTE_BITS or header.interlace:
        return None
    if header.width * header.height > grey.MOST_PX:
        return None
    return grey.decode(deflated, header.width, header.height)
