"""Simulates digits by other writers, pens and scanners, and photos of digits, which MNIST does not contain.

stretch     other proportions, up to a square box as in some collections
pen         a thicker or a thinner line
scan        few pixels and few grey levels, down to black and white
format      with or without a margin, possibly enlarged again by a common interpolation

photograph  rotated, enlarged, shifted, faint, shaded and noisy
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.disturb import Digit

_DRAWN_PX = 84  # three times MNIST's size, so that the pen width can change by less than one of its pixels
_PENS_PX = (1, 9)  # how far a line may grow or shrink, on the drawn scale
_SCANS_PX = (8, 24)
_GREY_LEVELS = (2, 4, 16, 256)
_ENLARGE = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
_HALF_INK = 127
_HALF_THE_TIME = 0.5
_LEAST_INK = 25  # of 255: fainter pixels belong to the soft rim of a stroke


def photographed(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph the digit somewhere on a sheet of paper: a JPEG or a PNG in grey."""
    side = int(rng.integers(60, 200))
    scale = rng.uniform(1.2, max(1.3, side / 40))
    reach = max(0.0, side / 2 - 16 * scale)
    turn = cv2.getRotationMatrix2D((13.5, 13.5), rng.normal(0, 9), scale)
    turn[:, 2] += side / 2 - 13.5 + rng.uniform(-reach, reach, 2)
    ink = cv2.warpAffine(digit, turn, (side, side), flags=cv2.INTER_CUBIC).astype(np.float32) / np.float32(255)
    paper, pen = (rng.uniform(150, 255), rng.uniform(0, 90))[:: 1 if rng.random() < _HALF_THE_TIME else -1]
    picture = (np.float32(paper) + ink * np.float32(pen - paper)) * _light(side, rng)
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, 14))
    return _encoded(np.clip(picture, 0, 255).astype(np.uint8), rng)


def _light(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Let the light fall off along a random direction, to as little as 40 % of its brightness."""
    along = np.linspace(-1, 1, side)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * along + np.sin(angle) * along[:, None]) / 2.83  # -0.5 to 0.5
    light: NDArray[np.float32] = (1 - rng.uniform(0, 0.6) * (ramp + 0.5)).astype(np.float32)
    return light


def _encoded(picture: Digit, rng: np.random.Generator) -> bytes:
    """Encode as JPEG of some quality, or as PNG."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))]
    jpeg = rng.random() < _HALF_THE_TIME
    encoded: NDArray[np.uint8] = cv2.imencode(".jpg", picture, quality)[1] if jpeg else cv2.imencode(".png", picture)[1]
    return encoded.tobytes()


def other_handwriting(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw the digit as another collection would contain it, bright on black or dark on white."""
    drawn = _with_pen(_stretched(_box(digit), rng), rng)
    scanned = _scan(drawn, rng)
    picture = _formatted(scanned, rng)
    if rng.random() < _HALF_THE_TIME:
        picture = 255 - picture
    return _encoded(picture, rng)


def _box(digit: Digit) -> Digit:
    """Cut off all paper around the ink."""
    rows, columns = np.flatnonzero(digit.max(1) > _LEAST_INK), np.flatnonzero(digit.max(0) > _LEAST_INK)
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stretched(box: Digit, rng: np.random.Generator) -> Digit:
    """Draw the box large, somewhere between its own proportion and a square."""
    height, width = box.shape
    towards_square = rng.uniform(-0.2, 0.7)
    narrow = (min(box.shape) / max(box.shape)) ** (1 - towards_square)
    short = max(3, round(_DRAWN_PX * narrow))
    size = (short, _DRAWN_PX) if width < height else (_DRAWN_PX, short)
    drawn: Digit = cv2.resize(box, size, interpolation=cv2.INTER_CUBIC)
    padded: Digit = np.pad(drawn, _PENS_PX[1])
    return padded


def _with_pen(drawn: Digit, rng: np.random.Generator) -> Digit:
    """Dilate or erode the strokes; if eroding would leave too little, they stay unchanged."""
    width = int(rng.integers(*_PENS_PX))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    if rng.random() < _HALF_THE_TIME:
        thicker: Digit = cv2.dilate(drawn, element)
        return thicker
    thinner: Digit = cv2.erode(drawn, element)
    ink = np.count_nonzero(drawn > _HALF_INK)
    return thinner if np.count_nonzero(thinner > _HALF_INK) > ink / 3 else drawn


def _scan(drawn: Digit, rng: np.random.Generator) -> Digit:
    """Reduce the digit to few pixels and few grey levels."""
    side = int(rng.integers(_SCANS_PX[0], _SCANS_PX[1] + 1))
    scale = side / max(drawn.shape)
    size = (max(8, round(drawn.shape[1] * scale)), max(8, round(drawn.shape[0] * scale)))
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small *= 255 / max(float(small.max()), 1.0)
    steps = int(rng.choice(_GREY_LEVELS)) - 1
    grey: Digit = (np.rint(small / 255 * steps) * (255 / steps)).astype(np.uint8)
    return grey


def _formatted(scanned: Digit, rng: np.random.Generator) -> Digit:
    """Add a margin, and possibly enlarge the picture."""
    picture = np.pad(scanned, rng.integers(0, 5, (2, 2)))
    if rng.random() < _HALF_THE_TIME:
        scale = rng.uniform(1, 5)
        enlarged: Digit = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=int(rng.choice(_ENLARGE)))
        return enlarged
    return picture
