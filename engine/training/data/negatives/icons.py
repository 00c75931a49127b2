"""Icons: shapes with pairs of details, left and right, or with parts put together at random.

Details come in pairs beside one another: one hole in the middle would make a 0 of a disc, two above one another an 8.
Learned ones have the shapes that are learned, those for measuring the others; these are also put together otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.shapes import SOLID_ONLY, Corners, corners_of
from engine.training.data.negatives.split import Split

Pixels = NDArray[np.uint8]

_SIDE_PX = 112
_FIXED_POINT = 4
_CUT_OUT = 0.5
_OUTLINED = 0.4
_BESIDE = (0.35, 0.75)  # of half the side: how far a detail is from the middle


def icon(split: Split, rng: np.random.Generator) -> Ink:
    """Draw one icon, 0 paper, 1 ink."""
    picture = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    if split == "train":
        name, corners = _some(split, rng)
        _paint(picture, corners * rng.uniform(0.6, 0.85), 255, _pen_px(name, rng))
        for _ in range(int(rng.integers(1, 4))):
            _pair(picture, split, rng)
    else:
        _wreath(picture, split, rng)
    return picture.astype(np.float32) / np.float32(255)


def _pair(picture: Pixels, split: Split, rng: np.random.Generator) -> None:
    """Paint the same detail left and right, or cut it out."""
    name, corners = _some(split, rng)
    detail = corners * rng.uniform(0.12, 0.3)
    place = np.array([rng.uniform(*_BESIDE), rng.uniform(-0.7, 0.7)])
    grey, pen_px = (0, 0) if rng.random() < _CUT_OUT else (255, _pen_px(name, rng))
    for side in (-1, 1):
        _paint(picture, (detail + place) * np.array([side, 1]), grey, pen_px)


def _wreath(picture: Pixels, split: Split, rng: np.random.Generator) -> None:
    """Paint the same shape three to six times around the middle."""
    count = int(rng.integers(3, 7))
    name, corners = _some(split, rng)
    part = corners * rng.uniform(0.25, 0.4) - np.array([0.0, rng.uniform(0.45, 0.65)])
    pen_px = _pen_px(name, rng)
    for place in range(count):
        angle = 2 * np.pi * place / count
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        _paint(picture, part @ turn, 255, pen_px)


def _some(split: Split, rng: np.random.Generator) -> tuple[str, Corners]:
    """Take one of the part's shapes, in some proportion."""
    name, corners = corners_of(split, rng)
    return name, corners * np.exp(rng.normal(0, 0.2, 2))


def _pen_px(name: str, rng: np.random.Generator) -> int:
    """Choose the pen of an outline; 0 fills the shape."""
    return int(rng.integers(2, 9)) if name not in SOLID_ONLY and rng.random() < _OUTLINED else 0


def _paint(picture: Pixels, corners: Corners, grey: int, pen_px: int) -> None:
    points = np.rint((corners + 1) * (_SIDE_PX / 2) * (1 << _FIXED_POINT)).astype(np.int32)
    if pen_px:
        cv2.polylines(picture, [points], True, grey, pen_px, cv2.LINE_AA, _FIXED_POINT)
    else:
        cv2.fillPoly(picture, [points], grey, cv2.LINE_AA, _FIXED_POINT)
