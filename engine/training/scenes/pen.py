"""Draws MNIST's digits large and sharp, in colours that can be distinguished: the material of all scenes."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.disturb import Digit, encode_jpeg, encode_png

Ink = NDArray[np.float64]
"""(h, w), 0 paper to 1 ink."""
Colour = NDArray[np.float64]
"""(3,), 0 to 255."""
Picture = NDArray[np.float64]
"""(h, w, 3), 0 to 255."""

APART: Final = 110.0
"""Distance of two colours, Euclidean, that the eye distinguishes at a glance."""

_SMOOTHER_PX: Final = 6  # MNIST's pixels are drawn this large before the edge is found
_EDGE: Final = 0.5
_LEAST_PX: Final = 2
_HALF: Final = 0.5


def drawn(digit: Digit, height_px: int, rng: np.random.Generator, pens: tuple[float, float] = (-0.25, 0.35)) -> Ink:
    """Draw a digit with sharp edges, cut to its ink.

    Parameters
    ----------
    digit : (28, 28) uint8
        0 paper, 255 ink; if all is paper, so is what is returned.
    height_px
        The longer side of what is returned.
    rng
        Chooses how much thicker or thinner the pen is.
    pens
        Least and most that is added to each side of a stroke, in px of MNIST.
    """
    if not digit.any():
        return np.zeros((height_px, height_px))
    large = cv2.resize(digit, None, fx=_SMOOTHER_PX, fy=_SMOOTHER_PX, interpolation=cv2.INTER_CUBIC)
    inside = cv2.GaussianBlur(large.astype(np.float64) / 255, (0, 0), _SMOOTHER_PX / 3) > _EDGE
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - inside.astype(np.uint8), cv2.DIST_L2, 5)
    grown = depth - outside + _SMOOTHER_PX * rng.uniform(*pens) > 0
    if np.count_nonzero(grown) < np.count_nonzero(inside) / 3:
        grown = inside
    box = _boxed(grown.astype(np.float64))
    scale = height_px / max(box.shape)
    size = tuple(max(_LEAST_PX, round(side * scale)) for side in box.shape[::-1])
    resized: Ink = cv2.resize(box, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return resized


def placed(ink: Ink, height: int, width: int, middle: tuple[float, float]) -> Ink:
    """Put ink on empty paper with its middle at (y, x); what is beyond the paper is cut off."""
    top, left = round(middle[0] - ink.shape[0] / 2), round(middle[1] - ink.shape[1] / 2)
    paper = np.zeros((height, width))
    rows, columns = slice(max(0, top), top + ink.shape[0]), slice(max(0, left), left + ink.shape[1])
    part = ink[rows.start - top :, columns.start - left :][: height - rows.start, : width - columns.start]
    paper[rows, columns] = part
    return paper


def colours(count: int, rng: np.random.Generator) -> list[Colour]:
    """Choose colours each of which can be distinguished from the one before; often black on white."""
    first = np.array([255.0, 255, 255]) if rng.random() < _HALF else rng.uniform(0, 255, 3)
    chosen = [first]
    while len(chosen) < count:
        plain = rng.random() < _HALF
        colour = np.full(3, float(rng.choice([0.0, 20.0, 255.0]))) if plain else rng.uniform(0, 255, 3)
        if np.linalg.norm(colour - chosen[-1]) >= APART:
            chosen.append(colour)
    return chosen


def painted(under: Picture, ink: Ink, colour: Colour) -> Picture:
    """Paint ink of a colour over a picture (h, w, 3)."""
    over: Picture = under + ink[:, :, None] * (colour - under)
    return over


def sheet(sides: tuple[int, ...], colour: Colour) -> Picture:
    """Return (h, w, 3) of one colour."""
    return np.tile(colour, (*sides[:2], 1))


def encoded(picture: NDArray[np.float64], rng: np.random.Generator, noise: float = 0.0) -> bytes:
    """Add noise and encode as PNG, or one time in three as JPEG."""
    if noise:
        picture = picture + rng.normal(0, noise, picture.shape)
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return encode_jpeg(rounded, int(rng.integers(70, 96))) if rng.random() < 1 / 3 else encode_png(rounded)


def _boxed(ink: Ink) -> Ink:
    rows, columns = np.flatnonzero(ink.max(1) > _EDGE), np.flatnonzero(ink.max(0) > _EDGE)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
