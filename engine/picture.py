"""Encoded bytes to pixels as they are meant to be seen, within the limits.

walk    the header (of PNG and JPEG: the whole file) is read first; too large, too small and cut short end here
decode  PNG and JPEG by OpenCV, which is three to five times as fast; what it gets wrong and all else by Pillow
see     palette expanded, 16 bit scaled to 8, EXIF rotation undone; alpha is kept

Of an animation this is the first frame. Each decoder is only ever handed the format that the first bytes name: what
else the libraries can read is never reached.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import exif, jpeg, png
from engine.errors import DamagedImage, EmptyRecord, ImageTooLarge, ImageTooSmall, OutOfMemory, UnknownFormat
from engine.formats import Format, image_format
from engine.frames import check_frames
from engine.limits import Limits

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # what is wrong with a picture is told by our error, not on standard error
cv2.setNumThreads(1)  # a worker has one core, and a pool of threads does not survive its fork

_RGB_CHANNELS = 3
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, cv2.error)
"""What decoders have been seen to raise on damaged files; the fuzzer looks for more."""
_MODES = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "PA": "RGBA", "La": "LA"}
_ALPHA = {"L": "LA", "RGB": "RGBA"}


@dataclass(frozen=True, slots=True)
class Picture:
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
        else:
            pixels = _decode_by_pillow(data, kind, limits)
    except MemoryError as error:
        raise OutOfMemory("There is not enough memory to decode the image.") from error
    except _DAMAGE as error:
        if getattr(error, "code", None) == cv2.Error.StsNoMem:  # OpenCV's MemoryError
            raise OutOfMemory("There is not enough memory to decode the image.") from error
        raise DamagedImage(f"The {kind} file cannot be decoded: it is damaged.") from error
    # Of one layout, whatever a decoder gives and a rotation leaves: the compiled loops are made for that one.
    return Picture(np.require(pixels, requirements=["C", "W"]))


def _decode_png(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    found = png.walk(data, limits)
    _check_size(found.width, found.height, limits)
    if found.has_transparent_colour and found.colour_type == png.GREY:
        return _decode_by_pillow(found.data, "PNG", limits)  # OpenCV forgets the transparent colour
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


def _decode_by_opencv(data: bytes, flags: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise DamagedImage("The image's pixels cannot be decoded: it is damaged.")
    if pixels.dtype == np.uint16:
        pixels = _high_bytes(pixels)
    if pixels.ndim == 3:  # noqa: PLR2004  # height, width, channels
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == _RGB_CHANNELS else cv2.COLOR_BGRA2RGBA)
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
        held = image.getexif().get(exif.ORIENTATION, exif.UPRIGHT) if kind in ("TIFF", "WEBP") else exif.UPRIGHT
        pixels = np.asarray(_eight_bit(image))
    return exif.turn_upright(pixels, held)


def _eight_bit(image: Image.Image) -> Image.Image | NDArray[np.uint8]:
    """Bring any of Pillow's modes to L, LA, RGB or RGBA."""
    if image.mode.startswith(("I", "F")):
        return _scaled(np.asarray(image))
    mode = _MODES.get(image.mode, image.mode)
    if "transparency" in image.info:
        mode = _ALPHA.get(mode, mode)
    return image if mode == image.mode else image.convert(mode)


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16-bit integers by their type's range; longer ones and floats, which have none, by their own."""
    if values.dtype == np.uint16:
        return _high_bytes(values)
    numbers = np.nan_to_num(values.astype(np.float32))
    low, high = float(numbers.min()), float(numbers.max())
    return ((numbers - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)


def _high_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values >> 8).astype(np.uint8)


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ImageTooLarge(f"The image has {width:,} x {height:,} pixels; at most {limits.pixels:,} are allowed.")
    if min(width, height) < limits.side_min_px:
        raise ImageTooSmall(
            f"The image has {width:,} x {height:,} pixels; its sides must have at least {limits.side_min_px}."
        )
