"""Draws strokes with a pen of any width and kind, on any number of pixels.

pen        round; changing with the pressure; a square brush; a broad nib held at an angle
pixels     with soft edges, or black and white as Paint draws
width      at most so wide that no hole closes, none appears, and strokes do not run together: a person could not read
           the digit either
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.curves import Points

Pixels = NDArray[np.uint8]

WIDEST: Final = 1 / 3
"""Of the digit's larger side."""

_KINDS: Final = {"round": 0.66, "pressure": 0.2, "square": 0.08, "nib": 0.06}  # how many of the pens are such
_SOFT: Final = 0.6
_SHIFT = 4  # bits of a coordinate after the point, for OpenCV
_FIXED_POINT = 1 << _SHIFT
_TRIAL_PX = 64  # side on which holes are counted
_THIN_PX = 2
_HOLE_MIN_PX = 16  # smaller holes are crossings of strokes, or too small to be seen
_NARROWER = 0.8
_RUN_TOGETHER = 1.75
_BLACK = 110
_STRAIGHT_PX = 0.25  # points of a stroke that lie closer to a straight line are left out


@dataclass(frozen=True, slots=True)
class Pen:
    """What a digit is drawn with."""

    width: float
    """Of the digit's larger side."""
    pressure: float = 0.0
    """How much the width changes along the strokes: 0 not at all, 1 down to nothing."""
    nib_degrees: float | None = None
    """The angle at which a broad nib is held; None for a round pen."""
    square: bool = False
    """A square brush."""
    soft: bool = True
    """Edges have shades of grey; without them all pixels are black or white."""


def choose_pen(rng: np.random.Generator, side_px: int) -> Pen:
    """Choose any pen from one pixel to a third of the digit's side."""
    width = math.exp(rng.uniform(math.log(max(0.02, 1 / side_px)), math.log(WIDEST)))
    kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
    return Pen(
        width,
        pressure=float(rng.uniform(0.1, 0.7)) if kind == "pressure" else 0.0,
        nib_degrees=float(rng.uniform(20, 60)) if kind == "nib" else None,
        square=bool(kind == "square"),
        soft=bool(rng.random() < _SOFT),
    )


def draw(strokes: Sequence[Points], pen: Pen, side_px: int, rng: np.random.Generator) -> Pixels:
    """Draw a digit.

    Parameters
    ----------
    strokes
        The larger side of their box is 1.
    pen
        The pen; it is made narrower if it would close a hole of the digit or make a new one.
    side_px
        The larger side of the digit, between the middles of its outer strokes.
    rng
        Decides how the pressure changes.

    Returns
    -------
    picture : (h, w) uint8
        0 paper, 255 ink; one pixel of paper around the ink.
    """
    topology = _topology(_drawn(strokes, Pen(_THIN_PX / _TRIAL_PX, soft=False), _TRIAL_PX, rng))
    while pen.width * side_px > 1 and not _is_legible(strokes, pen.width, topology, rng):
        pen = replace(pen, width=pen.width * _NARROWER)
    return _drawn(strokes, pen, side_px, rng)


def _is_legible(strokes: Sequence[Points], width: float, topology: tuple[int, int], rng: np.random.Generator) -> bool:
    """Decide whether a pen keeps the digit's holes, and its strokes apart.

    Notes
    -----
    Where two strokes of half-width h meet at an angle a, the largest disc of ink has the radius 2h / (1 + sin(a / 2)):
    less than 1.75h down to an angle of 16 degrees. Where a ring of any size has just filled up, it is 2h.
    """
    width_px = width * _TRIAL_PX
    if width_px < 2 * _THIN_PX:
        return True
    ink = _drawn(strokes, Pen(width, soft=False), _TRIAL_PX, rng)
    widest_px = 2 * float(cv2.distanceTransform(ink, cv2.DIST_L2, 5).max())
    return widest_px <= _RUN_TOGETHER * width_px + 1 and _topology(ink) == topology


def _drawn(strokes: Sequence[Points], pen: Pen, side_px: int, rng: np.random.Generator) -> Pixels:
    width_px = max(1.0, pen.width * side_px)
    margin_px = math.ceil(width_px / 2) + 1
    reach = np.max([stroke.max(axis=0) for stroke in strokes], axis=0) * side_px
    picture = np.zeros((math.ceil(reach[1]) + 2 * margin_px + 1, math.ceil(reach[0]) + 2 * margin_px + 1), np.uint8)
    if pen.square or pen.nib_degrees is not None:  # the middle of the line, which their shape then makes wide
        core_px, pen = 1.0, replace(pen, soft=False, pressure=0.0)
    else:
        core_px = width_px
    for stroke in strokes:
        _draw_stroke(picture, stroke * side_px + margin_px, core_px, pen, rng)
    if pen.square and round(width_px) > 1:
        picture = cv2.dilate(picture, np.ones((round(width_px), round(width_px)), np.uint8))
    elif pen.nib_degrees is not None:
        picture = cv2.dilate(picture, _nib(width_px, pen.nib_degrees))
    return picture if pen.soft else np.where(picture > _BLACK, 255, 0).astype(np.uint8)


def _draw_stroke(picture: Pixels, stroke: Points, width_px: float, pen: Pen, rng: np.random.Generator) -> None:
    """Draw one stroke in place: as one line, or in pieces whose widths change with the pressure."""
    kind = cv2.LINE_AA if pen.soft or width_px > 1 else cv2.LINE_8
    bends = cv2.approxPolyDP(stroke.astype(np.float32)[:, None], _STRAIGHT_PX, closed=False)[:, 0]
    # OpenCV leaves out the last point of a stroke that ends where it began.
    points = np.rint(np.concatenate([bends, stroke[-1:]]) * _FIXED_POINT).astype(np.int32)
    if not pen.pressure:
        cv2.polylines(
            picture, [points], isClosed=False, color=255, thickness=max(1, round(width_px)), lineType=kind, shift=_SHIFT
        )
        return
    phase, waves = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 1.5)
    along = np.linspace(0, 2 * math.pi * waves, len(points)) + phase
    widths = width_px * (1 - pen.pressure * (0.5 + 0.5 * np.sin(along)))
    for a, b, piece_px in zip(points, points[1:], widths, strict=False):
        cv2.line(picture, a.tolist(), b.tolist(), 255, max(1, round(piece_px)), kind, _SHIFT)


def _nib(width_px: float, degrees: float) -> Pixels:
    """Return the trace of a broad nib: a short thick line at its angle."""
    side = math.ceil(width_px) | 1
    nib = np.zeros((side, side), np.uint8)
    middle, reach = side // 2, (side - 1) / 2
    x, y = round(reach * math.cos(math.radians(degrees))), round(reach * math.sin(math.radians(degrees)))
    cv2.line(nib, (middle - x, middle + y), (middle + x, middle - y), 1, max(2, round(width_px / 4)))
    return nib


def _topology(picture: Pixels) -> tuple[int, int]:
    """Count the areas of paper that ink encloses, and the parts of ink inside of them, such as the dot of a 0."""
    ink = np.pad(picture > _BLACK, 1).astype(np.uint8)
    count, areas, stats, _ = cv2.connectedComponentsWithStats(1 - ink, connectivity=4)
    holes = int((stats[1:count, cv2.CC_STAT_AREA] >= _HOLE_MIN_PX).sum()) - 1
    filled = (areas != areas[0, 0]).astype(np.uint8)
    return holes, cv2.connectedComponents(ink)[0] - cv2.connectedComponents(filled)[0]
