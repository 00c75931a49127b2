"""Gives strokes to digits that are drawn without: fills outlined ones and joins dotted ones.

An outlined digit is thin lines on both sides of an area that is long and narrow everywhere, and all its ink borders
that area. A ring, or the loop of a digit, encloses a compact area; a tail borders none.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK

_SIDE_MIN_PX = 32
_AREA_MIN = 0.01  # of the picture
_LONG = 2.3  # area to the square of the width: of a bent stroke
_LONG_STRAIGHT = 3.2  # of a straight one: that of a slim 0 is smaller
_STRAIGHT = 0.85  # of its hull is filled
_LINE = 0.9  # ink to filled area, at most
_COVERED = 0.88  # of the ink borders the filled area

_DOTS = (6, 100)
_DOT_SIDE = 0.16  # of the digit's longer side, at most
_ALIKE = (0.45, 2.2)  # times the median: the mass of a dot
_DOT_MASS = 6  # times the median: of dots that touch
_EVEN = (0.6, 1.6)  # times the median: its distance to the nearest one
_MOSTLY = 0.8
_REACH = 2.6  # times the median distance: a gap in the row
_JOINED = 1.4  # times the median distance: neighbours along a stroke


def fill_outlined(ink: NDArray[np.float32]) -> bool:
    """Fill the strokes of an outlined digit, in place; return whether there was one."""
    mask = (ink > INK).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    height, width = ink.shape
    left, top, across, down, areas = stats.T
    inside = (left > 0) & (top > 0) & (left + across < width) & (top + down < height) & (areas >= _AREA_MIN * ink.size)
    if min(height, width) < _SIDE_MIN_PX or not inside.any():
        return False
    depths = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)
    bodies = np.zeros(count, np.bool_)
    for body in np.flatnonzero(inside):
        within = labels == body
        long = areas[body] / (2 * float(depths[within].max(initial=1))) ** 2
        bodies[body] = long >= _LONG and (long >= _LONG_STRAIGHT or _convexity(within, int(areas[body])) < _STRAIGHT)
    filled = bodies[labels]
    drawn, area = np.count_nonzero(mask), np.count_nonzero(filled)
    if drawn > _LINE * area:
        return False
    line = 2 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 3).max())
    near = cv2.dilate(filled.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(line) + 3,) * 2))
    if np.count_nonzero(mask & near) < _COVERED * drawn:
        return False
    ink[filled] = 1
    return True


def join_dotted(ink: NDArray[np.float32], boxes: NDArray[np.int32], masses: NDArray[np.float32]) -> bool:
    """Join the dots of a dotted digit by lines as wide as they are, in place; return whether there were any.

    Parameters
    ----------
    ink : (h, w) float32
    boxes : (c, 4) int32
    masses : (c,) float32
        Of the components of the ink.
    """
    if not _DOTS[0] <= len(masses) <= _DOTS[1]:
        return False
    median = float(np.median(masses))
    if masses.max() > _DOT_MASS * median:
        return False
    dots = boxes[masses >= _ALIKE[0] * median].astype(np.float64)
    sides = dots[:, 2:] - dots[:, :2]
    longest = (dots[:, 2:].max(axis=0) - dots[:, :2].min(axis=0)).max()
    if len(dots) < _DOTS[0] or np.median(sides) > _DOT_SIDE * longest or not _mostly_within(masses, median, _ALIKE):
        return False
    middles = (dots[:, :2] + dots[:, 2:] - 1) / 2
    apart = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    spacing = float(np.median(nearest))
    if not _mostly_within(nearest, spacing, _EVEN):
        return False
    pen = max(1, round(float(np.median(sides))))
    joined = np.triu(apart <= _JOINED * spacing)
    for one, two in [*np.argwhere(joined).tolist(), *_shortest_tree(apart, _REACH * spacing)]:
        ends = np.rint(middles[[one, two], ::-1]).astype(int).tolist()
        cv2.line(ink, ends[0], ends[1], 1.0, pen)
    return True


def _shortest_tree(apart: NDArray[np.float64], longest: float) -> list[list[int]]:
    """Return the edges of the shortest tree (Prim 1957) that are not longer than that."""
    reached = np.zeros(len(apart), np.bool_)
    reached[0] = True
    edges = []
    for _ in range(len(apart) - 1):
        open_edges = np.where(reached[:, None] & ~reached, apart, np.inf)
        one, two = divmod(int(open_edges.argmin()), len(apart))
        reached[two] = True
        if apart[one, two] <= longest:
            edges.append([one, two])
    return edges


def _mostly_within(values: NDArray[np.floating], median: float, span: tuple[float, float]) -> bool:
    within = (values >= span[0] * median) & (values <= span[1] * median)
    return bool(within.mean() >= _MOSTLY)


def _convexity(mask: NDArray[np.bool_], area: int) -> float:
    points = cv2.findNonZero(mask.astype(np.uint8))
    hull = cv2.contourArea(cv2.convexHull(points))
    return area / hull if hull > 0 else 1.0
