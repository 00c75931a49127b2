"""Traces the outlines of the ink, and which lies within which.

OpenCV follows their borders [1]_.

References
----------
.. [1] S. Suzuki, K. Abe, "Topological structural analysis of digitized binary images by border following", Computer
       Vision, Graphics, and Image Processing 30 (1), 1985: what `cv2.findContours` does.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK

Outline = NDArray[np.int32]
Box = tuple[int, int, int, int]

_OUTLINES_MAX = 400  # more are noise
_OUTLINE_MIN_PX = 12  # of its length: shorter ones are specks


class Outlined(NamedTuple):
    """A piece of ink, or a hole in one."""

    outline: Outline
    """Its points (x, y), each next to the one before."""
    area: float
    """Within the outline, in px."""
    box: Box
    """Left, top, width, height."""
    within: int
    """The outline around this one; -1 if there is none."""
    is_hole: bool
    """It runs along the ink around it."""
    held: list[int]
    """The outlines that lie directly within this one: listed once, since a hostile picture has hundreds."""


def trace_outlines(ink: NDArray[np.float32]) -> list[Outlined]:
    """Trace all outlines but specks; an outline stands after the one that it lies in."""
    mask = (ink > INK).astype(np.uint8)
    outlines, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    if not 0 < len(outlines) <= _OUTLINES_MAX:
        return []
    found: list[Outlined] = []
    places = {-1: -1}
    waiting = [at for at, node in enumerate(tree[0]) if node[3] < 0]
    for at in waiting:  # it grows meanwhile
        if len(outlines[at]) < _OUTLINE_MIN_PX:
            continue
        outline, within = outlines[at], places[int(tree[0, at, 3])]
        is_hole = within >= 0 and not found[within].is_hole
        places[at] = len(found)
        if within >= 0:
            found[within].held.append(len(found))
        found.append(Outlined(outline, cv2.contourArea(outline), cv2.boundingRect(outline), within, is_hole, []))
        inner = int(tree[0, at, 2])
        while inner >= 0:
            waiting.append(inner)
            inner = int(tree[0, inner, 0])
    return found


def innermost(chosen: list[int], found: list[Outlined]) -> list[int]:
    """Leave out outlines around others that were chosen."""
    around = set()
    for at in chosen:
        outer = found[at].within
        while outer >= 0 and outer not in around:
            around.add(outer)
            outer = found[outer].within
    return [at for at in chosen if at not in around]


def largest_hole(at: int, found: list[Outlined]) -> float:
    """Return the area of the largest outline directly within this one; 0 if there is none."""
    return max((found[each].area for each in found[at].held), default=0.0)


def convexity(outline: Outline, area: float) -> float:
    """Return which part of its convex hull an outline fills."""
    hull = cv2.contourArea(cv2.convexHull(outline))
    return area / hull if hull > 0 else 1.0
