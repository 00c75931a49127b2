"""Decodes an encoded image into upright pixels of 8 bits, within the limits.

walk    check the headers (of PNG and JPEG the whole file); pictures that are too large, too small or cut are refused
decode  small grey PNG by `grey_png`; PNG, JPEG and WebP by OpenCV, which is 2 to 5 times as fast; others by Pillow
convert expand palettes, scale 16 bit to 8, undo the EXIF orientation; alpha is kept

Of an animation the first frame is decoded. A decoder gets only data in the format that the first bytes name, so the
other formats that the libraries support are never reached.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, TiffTags

from engine.codecs import exif, foreign, gif, jpeg, png, tiff, webp
from engine.codecs import grey_png as grey
from engine.codecs.eight_bit import eight_bit, high_bytes
from engine.codecs.formats import Format, image_format
from engine.errors import (
    DamagedImage,
    DecodesTooLarge,
    EmptyRecord,
    EngineError,
    ImageTooLarge,
    ImageTooSmall,
    OutOfMemory,
    SideTooLong,
    TooManyPixels,
    UnknownFormat,
)
from engine.limits import Limits

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # our exceptions report a damaged picture; OpenCV would also write to standard error
cv2.setNumThreads(1)  # a worker has one core, and a thread pool does not survive a fork

_BYTE_BITS = 8
_RGB_CHANNELS = 3
_PIXEL_BYTES: Final = 4
"""Bytes of a decoded pixel, except in PNG and JPEG, whose headers define it: most decoders produce four channels."""
_PART_COST_BYTES: Final = 200
"""Walking over one part of a file takes as long as decoding this many bytes."""
_SMALLEST_PART_BYTES: Final[Mapping[str, int]] = MappingProxyType({"PNG": 12, "JPEG": 8, "WEBP": 16, "GIF": 64})
"""The fewest bytes of a file that cost as much to walk over as one chunk of PNG."""
_PIECE_COST_BYTES: Final = 2_000
"""The same for each tag, strip and tile of a TIFF file, which Pillow processes in Python."""
_CODE_GROUP_COST_BYTES: Final = 800
"""The same for each group of prefix codes of a WebP file."""
_BMP_SIZE, _BMP_SIZE_AT = struct.Struct("<2i"), 18
_BMP_COMPRESSION_AT: Final = 30
_BMP_RUN_LENGTHS: Final = (b"\x01\0\0\0", b"\x02\0\0\0")


Charge = Callable[[int], None]
"""Called with the bytes that a decoder is about to allocate; raises an `EngineError` if they are too many."""


class Picture(NamedTuple):
    """Pixels of one picture: (h, w) grey, (h, w, 2) grey and alpha, (h, w, 3) RGB or (h, w, 4) RGBA, uint8."""

    pixels: NDArray[np.uint8]


def _free(_decoded_bytes: int) -> None:
    """Stand in for `charge`."""


def decode(data: bytes, limits: Limits, charge: Charge = _free) -> Picture:
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
    if kind in _SMALLEST_PART_BYTES:
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


def _decode_png(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    found = png.walk(data, limits)
    header = found.header
    _check_size(header.width, header.height, header.pixel_bytes, limits, charge)
    is_grey = header.colour_type == png.GREY
    if found.has_transparent_colour and is_grey:
        return _decode_by_pillow(found.data, "PNG", limits, _free)  # OpenCV ignores the transparent colour
    pixels = None
    if is_grey and header.depth == _BYTE_BITS and not header.interlace and header.width * header.height <= grey.MOST_PX:
        pixels = grey.decode(found.deflated, header.width, header.height)
    if pixels is None:
        pixels = _decode_by_opencv(found.data, cv2.IMREAD_UNCHANGED)
    return exif.undo_orientation(pixels, found.orientation)


def _decode_jpeg(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    found = jpeg.walk(data, limits)
    _check_size(found.width, found.height, found.pixel_bytes, limits, charge)
    if found.channels not in (1, _RGB_CHANNELS):
        # OpenCV decodes CMYK with wrong colours. Pillow would parse all EXIF values, so these are removed.
        pixels = _decode_by_pillow(jpeg.strip_metadata(data, found), "JPEG", limits, _free)
    else:
        pixels = _decode_by_opencv(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return exif.undo_orientation(pixels, found.orientation)


def _decode_webp(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    found = webp.walk(data, limits)
    _check_size(found.width, found.height, _PIXEL_BYTES, limits, charge)
    charge(found.code_groups * _CODE_GROUP_COST_BYTES)
    return exif.undo_orientation(_decode_by_opencv(data, cv2.IMREAD_UNCHANGED), found.orientation)


def _decode_bmp(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    if data[_BMP_COMPRESSION_AT : _BMP_COMPRESSION_AT + 4] not in _BMP_RUN_LENGTHS:
        return _decode_by_pillow(data, "BMP", limits, charge)
    # Pillow decodes run lengths byte by byte, in Python.
    width, height = _BMP_SIZE.unpack_from(data, _BMP_SIZE_AT)
    _check_size(abs(width), abs(height), _PIXEL_BYTES, limits, charge)
    return _decode_by_opencv(data, cv2.IMREAD_UNCHANGED)


def _decode_by_opencv(data: bytes, flags: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise DamagedImage("The image's pixels cannot be decoded: it is damaged, or takes more memory than there is.")
    if pixels.dtype == np.uint16:
        pixels = high_bytes(pixels)
    if pixels.ndim == 3:  # noqa: PLR2004  # height, width, channels
        order = cv2.COLOR_BGR2RGB if pixels.shape[2] == _RGB_CHANNELS else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(pixels, order, dst=pixels)
    return pixels


def _decode_gif(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    gif.walk(data, limits)
    return _decode_by_pillow(data, "GIF", limits, charge)


def _decode_tiff(data: bytes, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    charge(tiff.walk(data, limits) * _PIECE_COST_BYTES)
    return _decode_by_pillow(data, "TIFF", limits, charge)


def _decode_by_pillow(data: bytes, kind: Format, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    # Pillow warns of invalid metadata, which is not used, and of many pixels, for which the engine has a limit.
    with warnings.catch_warnings(action="ignore"):
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=[kind])
        except Image.DecompressionBombError as error:
            raise TooManyPixels("The image has more pixels than the limit.") from error
        _check_size(*image.size, _PIXEL_BYTES, limits, charge)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            pixels = image.size[0] * image.size[1]
            charge(max(0, tiff.check(data, image.tag_v2, limits) - pixels * _PIXEL_BYTES))  # padding beyond the picture
            tags = image.getexif()
            for pointer in TiffTags.TAGS_V2_GROUPS:  # Pillow would parse these directories, value by value
                if pointer in tags:
                    del tags[pointer]
        image.load()
        orientation = image.getexif().get(exif.ORIENTATION, exif.UPRIGHT) if kind == "TIFF" else exif.UPRIGHT
        return exif.undo_orientation(eight_bit(image), orientation)


_DECODERS: Final[Mapping[Format, Callable[[bytes, Limits, Charge], NDArray[np.uint8]]]] = MappingProxyType(
    {
        "PNG": _decode_png,
        "JPEG": _decode_jpeg,
        "WEBP": _decode_webp,
        "BMP": _decode_bmp,
        "GIF": _decode_gif,
        "TIFF": _decode_tiff,
    }
)


def _check_size(width: int, height: int, pixel_bytes: int, limits: Limits, charge: Charge) -> None:
    pixels = width * height
    if pixels > limits.pixels:
        raise TooManyPixels(f"The image has {width:,} x {height:,} pixels; at most {limits.pixels:,} are allowed.")
    if max(width, height) > limits.side_max_px:
        raise SideTooLong(
            f"The image has {width:,} x {height:,} pixels; its sides may have at most {limits.side_max_px:,}."
        )
    if pixels * pixel_bytes > limits.decoded_bytes:
        raise DecodesTooLarge(
            f"The image decodes to {pixels * pixel_bytes:,} bytes; at most {limits.decoded_bytes:,} are allowed."
        )
    if min(width, height) < limits.side_min_px:
        raise ImageTooSmall(
            f"The image has {width:,} x {height:,} pixels; its sides must have at least {limits.side_min_px}."
        )
    charge(pixels * pixel_bytes)
