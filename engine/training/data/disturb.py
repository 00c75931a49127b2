"""Clean digits to pictures as people send them, to measure (and to train) what disturbance costs.

Each kind takes digits as MNIST has them (n, 28, 28), bright ink on black, and gives encoded images, so that the whole
way from bytes to digit is measured. The same generator state gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Digit = NDArray[np.uint8]
"""(28, 28), 0 paper, 255 ink."""
Disturbance = Callable[[Digit, np.random.Generator], bytes]

_SIDE_PX: Final = 28
_SHIFT_PX: Final = 200
_NOISE: Final = 12.0  # standard deviation, of 255
_SQUARED: Final = 0.3  # of the ruled pages
_HALF_INK: Final = 127
_COLOURS_APART: Final = 120.0  # Euclidean, in RGB of 0 to 255


def disturb(kind: str, digits: NDArray[np.uint8], rng: np.random.Generator) -> list[bytes]:
    """Disturb each digit in one way.

    Parameters
    ----------
    kind
        A key of `DISTURBANCES`.
    digits : (n, 28, 28) uint8
        0 paper, 255 ink.
    rng
        Decides all that is random.
    """
    return [DISTURBANCES[kind](digit, rng) for digit in digits]


def clean(digit: Digit, _: np.random.Generator) -> bytes:
    """Encode the digit as it is."""
    return encode_png(digit)


def inverted(digit: Digit, _: np.random.Generator) -> bytes:
    """Write dark on white."""
    return encode_png(255 - digit)


def alpha_only(digit: Digit, _: np.random.Generator) -> bytes:
    """Write in black on transparent black: alpha alone holds the digit."""
    return encode_png(np.dstack([np.zeros((*digit.shape, 3), np.uint8), digit]))


def coloured(digit: Digit, rng: np.random.Generator) -> bytes:
    """Write in one random colour on paper of another, which the eye can distinguish."""
    return encode_png(_round(_coloured(digit / 255, rng)))


def shaded(digit: Digit, rng: np.random.Generator) -> bytes:
    """Write dark on paper that the light falls on from one side: down to 35 to 60 % of its brightness."""
    return encode_png(_round((235 - 200 * (digit / 255)) * _light(_SIDE_PX, _SIDE_PX, rng)))


def jpeg_50(digit: Digit, _: np.random.Generator) -> bytes:
    """Encode as JPEG of quality 50."""
    return encode_jpeg(digit, 50)


def off_centre_200(digit: Digit, rng: np.random.Generator) -> bytes:
    """Write 200 px from the centre of a large picture, in any direction."""
    side = 2 * _SHIFT_PX + 2 * _SIDE_PX
    direction = rng.uniform(0, 2 * math.pi)
    top = round(side / 2 - _SIDE_PX / 2 + _SHIFT_PX * math.sin(direction))
    left = round(side / 2 - _SIDE_PX / 2 + _SHIFT_PX * math.cos(direction))
    picture = np.zeros((side, side), np.uint8)
    picture[top : top + _SIDE_PX, left : left + _SIDE_PX] = digit
    return encode_png(picture)


def ruled(digit: Digit, rng: np.random.Generator) -> bytes:
    """Write dark on ruled paper, once or twice the size: the lines run through the digit."""
    scale = int(rng.integers(1, 4))
    ink = _enlarged(digit, scale) / 255
    side = len(ink)
    period = round(side * rng.uniform(0.3, 0.6))
    thickness = int(rng.integers(1, scale + 1))
    darkness = rng.uniform(0.3, 1.0)
    first = int(rng.integers(0, period))
    for top in range(first, side, period):
        ink[top : top + thickness] = np.maximum(ink[top : top + thickness], darkness)
    if rng.random() < _SQUARED:
        for left in range(period // 2, side, period):
            ink[:, left : left + thickness] = np.maximum(ink[:, left : left + thickness], darkness)
    return encode_png(_round(245 - 215 * ink))


def bordered(digit: Digit, rng: np.random.Generator) -> bytes:
    """Write dark within a frame, at the picture's edge or some px further in."""
    scale = int(rng.integers(1, 4))
    room = int(rng.integers(0, 4)) * scale
    ink = np.pad(_enlarged(digit, scale) / 255, room + 3 * scale)
    side = len(ink)
    inset = int(rng.integers(0, room + 1))
    thickness = int(rng.integers(1, 2 * scale + 1))
    frame = np.zeros_like(ink)
    frame[inset : side - inset, inset : side - inset] = rng.uniform(0.4, 1.0)
    inside = inset + thickness
    frame[inside : side - inside, inside : side - inside] = 0
    return encode_png(_round(245 - 215 * np.maximum(ink, frame)))


def all_at_once(digit: Digit, rng: np.random.Generator) -> bytes:
    """Turn by up to 15 degrees, enlarge, move off the centre, colour, shade, add noise, encode as JPEG."""
    side = int(rng.integers(120, 300))
    scale = rng.uniform(1.5, 4)
    reach = max(0.0, side / 2 - 16 * scale)
    angle = rng.uniform(-15, 15)
    turn = cv2.getRotationMatrix2D((13.5, 13.5), angle, scale)
    turn[:, 2] += side / 2 - 13.5 + rng.uniform(-reach, reach, 2)
    ink = cv2.warpAffine(digit, turn, (side, side), flags=cv2.INTER_CUBIC) / 255
    picture = _coloured(ink, rng) * _light(side, side, rng)[:, :, None]
    picture += rng.normal(0, _NOISE, picture.shape)
    return encode_jpeg(_round(picture), int(rng.integers(50, 96)))


def tight(digit: Digit, rng: np.random.Generator) -> bytes:
    """Cut off all paper around the digit, at one to four times its size: the ink touches all four edges."""
    rows, columns = np.flatnonzero(digit.max(1) > _HALF_INK), np.flatnonzero(digit.max(0) > _HALF_INK)
    cut = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut = np.pad(cut, ((0, 0), (max(1, (9 - cut.shape[1]) // 2),) * 2))  # no side below 8 px
    return encode_png(255 - _enlarged(cut, int(rng.integers(1, 5))))


def small(digit: Digit, rng: np.random.Generator) -> bytes:
    """Shrink the digit to 8 to 14 px, as on a thumbnail: the picture is not larger than the digit's box."""
    side = int(rng.integers(8, 15))
    return encode_png(cv2.resize(digit[4:24, 4:24], (side, side), interpolation=cv2.INTER_AREA))


def large(digit: Digit, rng: np.random.Generator) -> bytes:
    """Enlarge to 512 px, dark on white, with a pen of another width."""
    ink = cv2.resize(digit, (512, 512), interpolation=cv2.INTER_CUBIC)
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    ink = (cv2.erode, cv2.dilate)[int(rng.integers(2))](np.where(ink > _HALF_INK, 255, 0).astype(np.uint8), pen)
    return encode_png(255 - ink)


DISTURBANCES: Final[Mapping[str, Disturbance]] = MappingProxyType(
    {
        "clean": clean,
        "inverted": inverted,
        "alpha_only": alpha_only,
        "coloured": coloured,
        "shaded": shaded,
        "jpeg_50": jpeg_50,
        "off_centre_200": off_centre_200,
        "ruled": ruled,
        "bordered": bordered,
        "all_at_once": all_at_once,
        "tight": tight,
        "small": small,
        "large": large,
    }
)
"""Every kind by its name."""


def _coloured(ink: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    while True:
        paper, pen = rng.uniform(0, 255, (2, 3))
        if np.linalg.norm(paper - pen) >= _COLOURS_APART:
            mixed: NDArray[np.float64] = paper + ink[:, :, None] * (pen - paper)
            return mixed


def _light(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Let light fall off from one side, not quite evenly: 1 where it is brightest."""
    direction = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = (x * math.cos(direction) + y * math.sin(direction)) / math.sqrt(2)
    shade = (along + 1) / 2
    light: NDArray[np.float64] = 1 - rng.uniform(0.4, 0.65) * shade ** rng.uniform(0.8, 1.6)
    return light


def _enlarged(digit: Digit, scale: int) -> Digit:
    enlarged: Digit = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return enlarged


def _round(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode (h, w), (h, w, 3) BGR or (h, w, 4) BGRA as PNG."""
    return _encode(".png", picture, [])


def encode_jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Encode (h, w) or (h, w, 3) BGR as JPEG of a quality of 0 to 100."""
    return _encode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(extension: str, picture: NDArray[np.uint8], options: list[int]) -> bytes:
    encoded: NDArray[np.uint8] = cv2.imencode(extension, picture, options)[1]
    return encoded.tobytes()
