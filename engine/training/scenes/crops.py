"""Digits cropped to their ink, as OpenCV's `boundingRect` gives it, flat or from a photo."""

from __future__ import annotations

import cv2
import numpy as np

from engine.training.data.disturb import Digit
from engine.training.scenes.pen import colours, drawn, encoded, painted, sheet

_LEAST_PX = 8  # smaller images are refused
_HALF = 0.5


def tight_crop(digit: Digit, rng: np.random.Generator) -> bytes:
    """Cut a drawing to the bounding box of its ink: no px of paper is left at any side."""
    ink = drawn(digit, int(rng.integers(16, 260)), rng)
    if min(ink.shape) < _LEAST_PX:
        ink = cv2.resize(ink, None, fx=_LEAST_PX / min(ink.shape), fy=_LEAST_PX / min(ink.shape))
    paper, pen = (255.0, 0.0) if rng.random() < _HALF else (0.0, 255.0)
    if rng.random() < _HALF:
        return encoded(paper + ink * (pen - paper), rng)
    paper_colour, pen_colour = colours(2, rng)
    return encoded(painted(sheet(ink.shape, paper_colour), ink, pen_colour), rng)


def tight_photo(digit: Digit, rng: np.random.Generator) -> bytes:
    """Crop a photo of a sheet close around the digit: uneven light, soft edges, noise, 0 to 6 % of margin."""
    height = int(rng.integers(30, 220))
    ink = drawn(digit, height, rng, (-0.1, 0.6))
    ink = np.pad(ink, ((_margin(height, rng), _margin(height, rng)), (_margin(height, rng), _margin(height, rng))))
    ink = np.pad(ink, ((0, 0), (max(0, _LEAST_PX - ink.shape[1]),) * 2))
    ink = cv2.GaussianBlur(ink, (0, 0), height * rng.uniform(0.005, 0.025))
    paper, pen = rng.uniform(130, 240) + rng.normal(0, 8, 3), rng.uniform(0, 110, 3)
    y, x = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
    direction = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.05, 0.3) * (1 + x * np.cos(direction) + y * np.sin(direction)) / 2
    picture = painted(sheet(ink.shape, paper), ink, np.minimum(pen, paper.mean() - 80)) * light[:, :, None]
    return encoded(picture, rng, rng.uniform(0.5, 6))


def _margin(height: int, rng: np.random.Generator) -> int:
    return int(height * rng.uniform(0, 0.06))
