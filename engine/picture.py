"""Encoded bytes to pixels as they are meant to be seen, within the limits.

walk    the headers (of PNG and JPEG all of the file) are read first; too large, too small, cut short end here
decode  small grey PNG here; PNG, JPEG and WebP by OpenCV, which is two to five times as fast; all else by Pillow
see     palette expanded, 16 bit scaled to 8, EXIF rotation undone; alpha is kept

Of an animation this is the first frame. Each decoder is only ever handed the format that the first bytes name: what
else the libraries can read is never reached.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import exif, grey, jpeg, png, webp
from engine.errors import (
    DamagedImage,
    EmptyRecord,
    EngineError,
    ImageTooLarge,
    ImageTooSmall,
    OutOfMemory,
    UnknownFormat,
)
from engine.formats import Format, image_format
from engine.frames import check_frames
from engine.limits import Limits

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # what is wrong with a picture is told by our error, not on standard error
cv2.setNumThreads(1)  # a worker has one core, and a pool of threads does not survive its fork

_BYTE_BITS = 8
_RGB_CHANNELS = 3
_STRIP_PX = 256
_MODES = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "PA": "RGBA", "La": "LA"}
_ALPHA = {"L": "LA", "RGB": "RGBA"}


class Picture(NamedTuple):
    """Pixels of one picture: (h, w) grey, (h, w, 2) grey and alpha, (h, w, 3) RGB or (h, w, 4) RGBA, uint8."""

    pixels: NDArray[np.uint8]


def decode(data: bytes, limits: Limits) -> Picture:
    """Decode one image.

    Raises
    ------
    EmptyRecord, UnknownFormat, ImageTooLarge, ImageTooSmall, DamagedImage, OutOfMemory
        As their names say; all but the last two before a pixel is decoded.
    """
    kind = image_format(data)
    if kind is None:
        raise (
            UnknownFormat("The bytes are of no accepted image format.") if data else EmptyRecord("There are no bytes.")
        )
    if len(data) > limits.image_bytes:
        raise ImageTooLarge(f"The image has {len(data):,} bytes; at most {limits.image_bytes:,} are allowed.")
    try:
        if kind == "PNG":
            pixels = _decode_png(data, limits)
        elif kind == "JPEG":
            pixels = _decode_jpeg(data, limits)
        elif kind == "WEBP":
            pixels = _decode_webp(data, limits)
        else:
            pixels = _decode_by_pillow(data, kind, limits)
    except EngineError:
        raise
    except MemoryError as error:
        raise OutOfMemory("There is not enough memory to decode the image.") from error
    except Exception as error:  # of damaged files decoders raise whatever it comes to: OverflowError, KeyError, ...
        if getattr(error, "code", None) == cv2.Error.StsNoMem:  # OpenCV's MemoryError
            raise OutOfMemory("There is not enough memory to decode the image.") from error
        raise DamagedImage(f"The {kind} file cannot be decoded: it is damaged.") from error
    # Of one layout, whatever a decoder gives and a rotation leaves: the compiled loops are made for that one.
    return Picture(pixels if pixels.flags.carray else pixels.copy())


def _decode_png(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    found = png.walk(data, limits)
    header = found.header
    _check_size(header.width, header.height, limits)
    is_grey = header.colour_type == png.GREY
    if found.has_transparent_colour and is_grey:
        return _decode_by_pillow(found.data, "PNG", limits)  # OpenCV forgets the transparent colour
    pixels = None
    if is_grey and header.depth == _BYTE_BITS and not header.interlace and header.width * header.height <= grey.MOST_PX:
        pixels = grey.decode(found.deflated, header.width, header.height)
    if pixels is None:
        pixels = _decode_by_opencv(found.data, cv2.IMREAD_UNCHANGED)
    return exif.turn_upright(pixels, found.orientation)


def _decode_jpeg(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    found = jpeg.walk(data, limits)
    _check_size(found.width, found.height, limits)
    if found.channels not in (1, _RGB_CHANNELS):
        pixels = _decode_by_pillow(data, "JPEG", limits)  # OpenCV shows CMYK in wrong colours
    else:
        pixels = _decode_by_opencv(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return exif.turn_upright(pixels, found.orientation)


def _decode_webp(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    found = webp.walk(data, limits)
    _check_size(found.width, found.height, limits)
    return exif.turn_upright(_decode_by_opencv(data, cv2.IMREAD_UNCHANGED), found.orientation)


def _decode_by_opencv(data: bytes, flags: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise DamagedImage("The image's pixels cannot be decoded: it is damaged.")
    if pixels.dtype == np.uint16:
        pixels = _high_bytes(pixels)
    if pixels.ndim == 3:  # noqa: PLR2004  # height, width, channels
        order = cv2.COLOR_BGR2RGB if pixels.shape[2] == _RGB_CHANNELS else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(pixels, order, dst=pixels)
    return pixels


def _decode_by_pillow(data: bytes, kind: Format, limits: Limits) -> NDArray[np.uint8]:
    check_frames(data, kind, limits)
    # Pillow warns of odd metadata, at which nobody looks, and of many pixels, which have a limit of ours.
    with warnings.catch_warnings(action="ignore"):
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=[kind])
        except Image.DecompressionBombError as error:
            raise ImageTooLarge("The image has more pixels than the limit.") from error
        _check_size(*image.size, limits)
        image.load()
        held = image.getexif().get(exif.ORIENTATION, exif.UPRIGHT) if kind == "TIFF" else exif.UPRIGHT
        return exif.turn_upright(_eight_bit(image), held)


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    """Bring any of Pillow's modes to L, LA, RGB or RGBA, a strip at a time: Pillow copies what it converts."""
    mode = _MODES.get(image.mode, image.mode)
    if "transparency" in image.info:
        mode = _ALPHA.get(mode, mode)
    strips = [(top, min(top + _STRIP_PX, image.height)) for top in range(0, image.height, _STRIP_PX)]
    if image.mode.startswith(("I", "F")):
        values = np.concatenate([np.asarray(image.crop((0, top, image.width, end))) for top, end in strips])
        return _high_bytes(values.astype(np.uint16, copy=False)) if values.dtype.kind == "u" else _scaled(values)
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top, end in strips:
        strip = image.crop((0, top, image.width, end))
        converted = strip if mode == image.mode else strip.convert(mode)
        pixels[top:end] = np.asarray(converted).reshape(end - top, image.width, len(mode))
    return pixels[:, :, 0] if len(mode) == 1 else pixels


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale long integers and floats by their own range: their type has no white."""
    numbers = np.nan_to_num(values.astype(np.float32, copy=False), copy=False, posinf=0, neginf=0)
    low, high = float(numbers.min()), float(numbers.max())
    numbers -= low
    numbers *= 255 / max(high - low, 1e-9)
    return numbers.astype(np.uint8)


def _high_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16 bit to 8: the high bytes, as they lie in memory."""
    high = 1 if sys.byteorder == "little" else 0
    return values.view(np.uint8).reshape(*values.shape, 2)[..., high].copy()


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ImageTooLarge(f"The image has {width:,} x {height:,} pixels; at most {limits.pixels:,} are allowed.")
    if min(width, height) < limits.side_min_px:
        raise ImageTooSmall(
            f"The image has {width:,} x {height:,} pixels; its sides must have at least {limits.side_min_px}."
        )
