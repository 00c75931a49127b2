"""Made of digits, but not one digit: several side by side or one over another, halves, and digits struck out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.negatives.glyphs import Ink, draw
from engine.training.data.negatives.pen.scribbles import zigzag
from engine.training.data.negatives.pen.strokes import pen
from engine.training.data.negatives.split import Split

_HALF: Final = 0.5
_SLIM: Final = 0.5  # width to height: a 1, which over another digit may leave that one readable
_TALL_PX: Final = 60
_DIGITS: Final = "0123456789"

_HALVES: Final[Mapping[Split, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "train": (("0", "top"), ("2", "bottom"), ("3", "left"), ("4", "top")),
        "test": (("0", "bottom"), ("4", "left"), ("5", "left")),
    }
)
"""Halves that show no other digit; the upper half of an 8, for one, is a 0."""


def row(digits: NDArray[np.uint8] | None, rng: np.random.Generator) -> Ink:
    """Put two to five digits in a row, apart or touching.

    Parameters
    ----------
    digits : (n, 28, 28) uint8, optional
        Handwritten digits, 0 paper and 255 ink; without them they are drawn with typefaces.
    rng
        Decides all that is random.
    """
    inks = [_digit(digits, rng) for _ in range(int(rng.choice([2, 2, 2, 3, 3, 4, 5])))]
    gap = int(rng.integers(-6, 20))  # negative: they touch
    picture = np.zeros((90, sum(ink.shape[1] + gap for ink in inks) + 60), np.float32)
    left = 30
    for ink in inks:
        _put(picture, ink, int(rng.integers(5, 20)), left)
        left += ink.shape[1] + gap
    return picture


def overlapping(digits: NDArray[np.uint8] | None, rng: np.random.Generator) -> Ink:
    """Write two or three digits over one another, each some way beside the one before."""
    inks: list[Ink] = []
    while len(inks) < (2 if rng.random() < 0.7 else 3):  # noqa: PLR2004  # mostly two
        ink = _digit(digits, rng)
        if ink.shape[1] > _SLIM * ink.shape[0]:
            inks.append(ink)
    picture = np.zeros((110, 260), np.float32)
    left = 10
    for ink in inks:
        _put(picture, ink, int(rng.integers(5, 35)), left)
        left += round(ink.shape[1] * rng.uniform(0.4, 0.75))
    return picture[:, : left + 80]


def half(split: Split, rng: np.random.Generator) -> Ink:
    """Cut a digit in two, and keep a half that shows no other digit."""
    digit, kept = _HALVES[split][int(rng.integers(len(_HALVES[split])))]
    ink = draw(digit, rng)
    height, width = (round(side * rng.uniform(0.42, 0.55)) for side in ink.shape)
    return {"top": ink[:height], "bottom": ink[-height:], "left": ink[:, :width]}[kept]


def struck_out(split: Split, digits: NDArray[np.uint8] | None, rng: np.random.Generator) -> Ink:
    """Strike a digit out: by two crossing lines or several level ones (learned), or by a zigzag (never learned)."""
    ink = np.pad(_digit(digits, rng), 10)
    height, width = ink.shape
    end = np.array([width - 1.0, height - 1.0])
    if split == "test":
        tracks = [zigzag(rng) * (max(height, width) / 112)]
    elif rng.random() < _HALF:
        tracks = [np.array([[0, 0], [1, 1]]) * end, np.array([[1, 0], [0, 1]]) * end]
    else:
        levels = np.linspace(0.15, 0.85, int(rng.integers(3, 6)))
        tracks = [np.array([[0, level], [1, level - 0.1]]) * end for level in levels]
    tracks = [track + rng.normal(0, 2, track.shape) for track in tracks]
    strokes = pen(tracks, int(rng.integers(3, 9)))
    picture = np.zeros(np.maximum(ink.shape, strokes.shape), np.float32)
    for each in (ink, strokes):
        top, left = ((whole - part) // 2 for whole, part in zip(picture.shape, each.shape, strict=True))
        _put(picture, each, top, left)
    return picture


def _digit(digits: NDArray[np.uint8] | None, rng: np.random.Generator) -> Ink:
    """Take one digit, cropped to its ink, 50 to 70 px high."""
    if digits is None:
        ink = draw(_DIGITS, rng)
    else:
        ink = digits[int(rng.integers(len(digits)))].astype(np.float32) / np.float32(255)
        ink = ink[np.ix_(ink.max(1) > _HALF, ink.max(0) > _HALF)]
    height = _TALL_PX + int(rng.integers(-10, 10))
    resized: Ink = cv2.resize(ink, (max(4, round(ink.shape[1] * height / ink.shape[0])), height))
    return resized


def _put(picture: Ink, ink: Ink, top: int, left: int) -> None:
    """Add ink to a picture, where it is darker."""
    place = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    np.maximum(place, ink[: place.shape[0], : place.shape[1]], out=place)
