"""Shows ink in the ways in which digits are shown, so that the reject head learns forms and not papers, pens or scenes.

drawn     any size, polarity and contrast, some noise, PNG or JPEG; one picture in four black and white as Paint draws
as MNIST  reduced to a box of 20 px in 28
as digits reduced so, then disturbed, photographed, scanned or put into a scene as the training's digits are
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.disturb import Digit, encode_jpeg, encode_png
from engine.training.data.negatives.glyphs import Ink
from engine.training.data.slots import SLOTS
from engine.training.scenes.plates import dotted, hollow

_ONE_IN_FOUR: Final = 0.25
_HALF: Final = 0.5
_KNOTS: Final = 4

_AS_MNIST: Final = 0.1
_AS_DIGITS: Final = 0.5
_SLENDER: Final = 2.5  # longer than this to its width, nothing would be left of its strokes on 20 px
_BOX_PX: Final = 20
_MARGIN_PX: Final = 4
_GAIN: Final = 2  # a hairline of half a pixel stays as dark as a stem, else a scene's sharp edges would lose it
_SOLID: Final = 0.2  # of the longer side: from this radius on, ink is no stroke
_OUTLINES: Final = (hollow, dotted)


def dressed(ink: Ink, rng: np.random.Generator) -> bytes:
    """Show the ink in a random way, and encode the picture."""
    way = rng.random()
    if way >= _AS_MNIST + _AS_DIGITS or max(ink.shape) > _SLENDER * min(ink.shape) or ink.max() <= _HALF:
        return _drawn(ink, rng)
    reduced = as_mnist(ink)
    if way < _AS_MNIST:
        return encode_png(reduced)
    slot = SLOTS[int(rng.integers(len(SLOTS)))]
    # The outline of a solid disc would be a 0.
    kinds = [kind for kind in slot if kind not in _OUTLINES] if _is_solid(reduced) else slot
    return kinds[int(rng.integers(len(kinds)))](reduced, rng)


def as_mnist(ink: Ink) -> Digit:
    """Reduce ink to a box of 20 px in a picture of 28 px, as MNIST's digits were.

    Returns
    -------
    picture : (28, 28) uint8
        0 paper, 255 ink, which is what at least one pixel has.
    """
    ink = _cropped(ink)
    scale = _BOX_PX / max(ink.shape)
    size = tuple(max(2, round(side * scale)) for side in ink.shape[::-1])
    small = np.minimum(cv2.resize(ink, size, interpolation=cv2.INTER_AREA) * _GAIN, 1)
    room = [2 * _MARGIN_PX + _BOX_PX - side for side in small.shape]
    padded = np.pad(small, [(side // 2, side - side // 2) for side in room])
    return np.rint(padded * (255 / max(float(padded.max()), 1e-3))).astype(np.uint8)


def _cropped(ink: Ink) -> Ink:
    rows, columns = np.flatnonzero(ink.max(1) > _HALF), np.flatnonzero(ink.max(0) > _HALF)
    if not len(rows):
        return ink
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _is_solid(picture: Digit) -> bool:
    return _radius_px(picture > 255 * _HALF) > _SOLID * _BOX_PX


def _radius_px(inside: NDArray[np.bool_]) -> float:
    """Return the radius of the largest disc of ink."""
    return float(cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5).max())


def _drawn(ink: Ink, rng: np.random.Generator) -> bytes:
    """Shrink the ink to 24 to 120 px, with or without room around it, and encode it.

    One picture in four has no grey between paper and ink, as drawing programs make them; of these many have 28 px.
    """
    ink = np.pad(ink, int(rng.integers(0, 25)) if rng.random() < 0.8 else 0)  # noqa: PLR2004  # else a tight crop
    sharp = rng.random() < _ONE_IN_FOUR
    scale = (28 if sharp and rng.random() < _HALF else rng.uniform(24, 120)) / max(ink.shape)
    size = tuple(max(8, round(side * scale)) for side in ink.shape[::-1])
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    if sharp:
        ink = (ink > _HALF).astype(np.float32)
    paper, stroke = rng.uniform(150, 255), rng.uniform(0, 90)
    if rng.random() < _HALF:
        paper, stroke = 0.0, 255.0  # as MNIST is
    picture = paper + ink * (stroke - paper)
    if not sharp and rng.random() < _HALF:
        picture = picture + rng.normal(0, rng.uniform(0, 12), picture.shape)
    return encoded(picture, rng)


def bent(ink: Ink, rng: np.random.Generator) -> Ink:
    """Turn, slant and bend ink as an unsteady hand does, up to 15 degrees and some 4 % of its size."""
    height, width = ink.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-15, 15), rng.uniform(0.7, 1))
    turn[0, 1] += rng.uniform(-0.2, 0.2)
    turn[:, 2] += 15
    size = (width + 30, height + 30)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    reach = float(rng.uniform(0, 0.04)) * max(size)
    bends = rng.normal(0, reach, (2, _KNOTS, _KNOTS)).astype(np.float32)
    across, down = (cv2.resize(bend, size, interpolation=cv2.INTER_CUBIC) for bend in bends)
    moved = cv2.warpAffine(ink, turn, size, flags=cv2.INTER_AREA)
    return np.asarray(cv2.remap(moved, x + across, y + down, cv2.INTER_LINEAR), np.float32)


def encoded(picture: NDArray[np.floating], rng: np.random.Generator) -> bytes:
    """Round grey levels and encode them: one picture in four as JPEG of some quality."""
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return encode_jpeg(rounded, int(rng.integers(50, 96))) if rng.random() < _ONE_IN_FOUR else encode_png(rounded)
