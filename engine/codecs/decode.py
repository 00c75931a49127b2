"""Decodes an encoded image into upright pixels of 8 bits, within the limits.

walk    check the headers (of PNG and JPEG the whole file); pictures that are too large, too small or cut are refused
decode  small grey PNG by `grey_png`; PNG, JPEG and WebP by OpenCV, which is 2 to 5 times as fast; HEIC by libheif;
        others by Pillow. What its decoder can reduce meanwhile may be larger: JPEG, and TIFF with overviews
convert expand palettes, scale 16 bit and numbers to 8, undo the EXIF orientation; alpha is kept

Of an animation the first frame is decoded. A decoder gets only data in the format that the first bytes name, so the
other formats that the libraries support are never reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.codecs import foreign
from engine.codecs.formats import Format, image_format
from engine.codecs.headers import exif, gif, webp
from engine.codecs.pixels import bmp, heif, jpeg, png, tiff
from engine.codecs.pixels.libraries import by_opencv, by_pillow
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size, free
from engine.errors import DamagedImage, EmptyRecord, EngineError, ImageTooLarge, OutOfMemory, UnknownFormat
from engine.limits import Limits

_PART_COST_BYTES: Final = 200
"""Walking over one part of a file takes as long as decoding this many bytes."""
_SMALLEST_PART_BYTES: Final[Mapping[str, int]] = MappingProxyType({"PNG": 12, "JPEG": 8, "WEBP": 16, "GIF": 64})
"""The fewest bytes of a file that cost as much to walk over as one chunk of PNG."""
_CODE_GROUP_COST_BYTES: Final = 800
"""The same for each group of prefix codes of a WebP file."""


class Picture(NamedTuple):
    """Pixels of one picture: (h, w) grey, (h, w, 2) grey and alpha, (h, w, 3) RGB or (h, w, 4) RGBA, uint8."""

    pixels: NDArray[np.uint8]


def decode(data: bytes, limits: Limits, charge: Charge = free) -> Picture:
    """Decode one image.

    Parameters
    ----------
    data, limits
        The file, and its limits.
    charge
        Called with the cost of the file, in bytes to decode: first for walking over its parts (by its size alone), then
        for its pixels. It may raise an `EngineError`, which ends decoding.

    Raises
    ------
    EngineError
        If the image is refused; all but `DamagedImage` and `OutOfMemory` are raised before a pixel is decoded.
    """
    kind = image_format(data)
    if kind is None:
        if not data:
            raise EmptyRecord("There are no bytes.")
        raise UnknownFormat(f"The bytes are of no accepted image format{foreign.clause(data)}.")
    if len(data) > limits.image_bytes:
        raise ImageTooLarge(f"The image has {len(data):,} bytes; at most {limits.image_bytes:,} are allowed.")
    if charge is not free and kind in _SMALLEST_PART_BYTES:
        charge(min(limits.parts, len(data) // _SMALLEST_PART_BYTES[kind]) * _PART_COST_BYTES)
    try:
        pixels = _DECODERS[kind](data, limits, charge)
    except EngineError:
        raise
    except MemoryError as error:
        raise OutOfMemory("There is not enough memory to decode the image.") from error
    except Exception as error:  # for damaged files decoders raise any exception: OverflowError, KeyError, ...
        if getattr(error, "code", None) == cv2.Error.StsNoMem:  # OpenCV's MemoryError
            raise OutOfMemory("There is not enough memory to decode the image.") from error
        raise DamagedImage(f"The {kind} file cannot be decoded: it is damaged.") from error
    # A decoder or a rotation may return another memory layout; the compiled loops accept only this one.
    return Picture(pixels if pixels.flags.carray else pixels.copy())


def _decode_webp(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    found = webp.walk(data, limits)
    check_size(found.width, found.height, PIXEL_BYTES, limits, charge)
    charge(found.code_groups * _CODE_GROUP_COST_BYTES)
    return exif.undo_orientation(by_opencv(data, cv2.IMREAD_UNCHANGED), found.orientation)


def _decode_gif(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    gif.walk(data, limits)
    return by_pillow(data, "GIF", limits, charge)


_DECODERS: Final[Mapping[Format, Callable[[bytes, Limits, Charge], NDArray[np.uint8]]]] = MappingProxyType(
    {
        "PNG": png.decode,
        "JPEG": jpeg.decode,
        "WEBP": _decode_webp,
        "BMP": bmp.decode,
        "GIF": _decode_gif,
        "TIFF": tiff.decode,
        "AVIF": heif.decode_avif,
        "HEIF": heif.decode_heif,
    }
)
