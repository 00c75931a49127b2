"""Drawn digits and samples of MNIST's, and how far what the canvas makes of them is from the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas, normalise
from engine.canvas.planes import Planes
from engine.codecs.decode import Picture, decode
from engine.limits import Limits

Grey = NDArray[np.uint8]
Ink = NDArray[np.float32]

SAMPLES: Final = [
    decode(path.read_bytes(), Limits()).pixels
    for path in sorted((Path(__file__).parents[1] / "data" / "digits").glob("*.png"))
]
"""Four of each digit, in their order."""

# Points (x, y) of the lines of digits.
SEVEN = [(20, 10), (80, 10), (45, 90)]
TWO = [(20, 30), (35, 10), (65, 10), (75, 35), (20, 90), (80, 90)]
FIVE = [(75, 10), (30, 10), (28, 45), (60, 45), (72, 65), (55, 90), (25, 85)]
FOOTED_ONE = [(25, 30), (50, 10), (50, 90), (20, 90), (80, 90)]
FOUR = ([(35, 10), (20, 60), (80, 60)], [(65, 10), (65, 90)])


def canvas(pictures: list[Grey]) -> Canvas:
    """Normalise pictures."""
    return normalise([Picture(pixels) for pixels in pictures])


def rounded(values: NDArray[np.floating]) -> Grey:
    """Round to grey levels."""
    pixels: Grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def apart(pictures: list[Grey]) -> float:
    """How far the digits are from the samples at worst, in mean ink a pixel.

    One px of shift is forgiven: a centre of mass between two pixels may fall to either.
    """
    seen, expected = canvas(pictures).digits, canvas(SAMPLES).digits
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    moved = np.stack([np.roll(seen, shift, axis=(1, 2)) for shift in shifts])
    return float(np.abs(moved - expected).mean(axis=(2, 3)).min(axis=0).max())


def enlarged(sample: Grey, scale: int) -> Grey:
    """Enlarge a sample smoothly."""
    larger: Grey = cv2.resize(sample, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return larger


def packed(*pictures: NDArray[np.float32]) -> Planes:
    """Pack pictures into planes."""
    sides = np.array([picture.shape for picture in pictures], np.int64)
    blacks = np.zeros(len(pictures), np.float32)
    starts = np.concatenate([[0], np.cumsum(sides.prod(axis=1))]).astype(np.int64)
    return Planes(np.concatenate([picture.ravel() for picture in pictures]).astype(np.float32), starts, sides, blacks)


def drawn(*lines: list[tuple[int, int]], sides: tuple[int, int] = (100, 100), pen: int = 8) -> Ink:
    """Draw lines of ink through points (x, y)."""
    picture = np.zeros(sides, np.float32)
    for line in lines:
        cv2.polylines(picture, [np.array(line)], isClosed=False, color=1.0, thickness=pen)
    return picture


def padded(sample: Grey, scale: int, room: int) -> Ink:
    """Enlarge a sample and put paper around it."""
    return np.pad(enlarged(sample, scale), room).astype(np.float32) / np.float32(255)


def cut(ink: Ink) -> Ink:
    """Cut a picture to its ink."""
    rows, columns = np.flatnonzero(ink.max(axis=1)), np.flatnonzero(ink.max(axis=0))
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
