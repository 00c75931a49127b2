"""Puts ink on paper as the digits' own pictures have it: any size, polarity, contrast, some noise, PNG or JPEG."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.disturb import encode_jpeg, encode_png
from engine.training.data.negatives.glyphs import Ink

_ONE_IN_FOUR: Final = 0.25
_HALF: Final = 0.5
_KNOTS: Final = 4


def dressed(ink: Ink, rng: np.random.Generator) -> bytes:
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
