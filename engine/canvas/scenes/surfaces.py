"""Finds the surface that the digit lies on: a plate, a badge, a key, a sheet on a desk, the inside of a box or ring.

It is a convex outline of the ink that holds something which is no digit's own hole; or a bare one, if there is none.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.scenes.contents import SQUARE, is_written_on
from engine.canvas.scenes.outlines import Outlined, convexity, innermost, largest_hole, trace_outlines

LEAST_PX = 24
"""A smaller box, as MNIST's digits have, holds no surface with a legible digit."""

_SIDE_MIN_PX = 9  # of a surface
_CONVEX = 0.93  # of its convex hull is filled by a surface
_PLATE = 0.96  # of its hull is filled by a bare plate, and not by a fat 0 or 8
_RINGS = 2  # in a hollow 8,
_RING_OF_EIGHT = 0.45  # of the area of each is within its line
_HOLED = 0.15  # of a plate's area is holes, at most, if nothing on it was found
_FRAME_FILLED = 0.55  # of a frame's area is within it
_RIM = 0.05  # of a bare plate's side: it may have a rim of another colour
_EDGE_PX = 2  # soft edge of the surface


class Surface(NamedTuple):
    """Where the digit lies on."""

    mask: NDArray[np.uint8]
    """(h, w), 1 on the surface without its edge."""
    is_bare: bool
    """Nothing on it is visible in this mix of colours."""


def find_surface(ink: NDArray[np.float32]) -> Surface | None:
    """Find the one surface with something on it; or a bare one, since its digit may be of another colour.

    Parameters
    ----------
    ink : (h, w) float32
        0 paper, 1 ink, whichever of the two the surface was taken for.

    Returns
    -------
    surface : Surface or None
        None if there is no surface, or if several have something on them.
    """
    found = trace_outlines(ink)
    convex = [at for at, each in enumerate(found) if _may_be_surface(each) and not _is_hollow_eight(at, found)]
    if not convex:
        return None
    written = innermost([at for at in convex if is_written_on(at, found)], found)
    if len(written) > 1:
        return None
    bare = innermost([at for at in convex if _may_be_bare(at, found)], found)
    if not written and not bare:
        return None
    chosen = found[written[0] if written else max(bare, key=lambda at: found[at].area)]
    mask = np.zeros(ink.shape, np.uint8)
    cv2.drawContours(mask, [chosen.outline], -1, 1, cv2.FILLED)
    edge = (1 if min(chosen.box[2:]) < LEAST_PX else _EDGE_PX) + chosen.is_hole
    if not written and not chosen.is_hole:
        edge += int(_RIM * min(chosen.box[2:]))
    side = 2 * edge + 1
    mask = cv2.erode(mask, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return Surface(mask, is_bare=not written) if mask.any() else None


def _may_be_surface(each: Outlined) -> bool:
    return min(each.box[2:]) >= _SIDE_MIN_PX and convexity(each.outline, each.area) >= _CONVEX


def _is_hollow_eight(at: int, found: list[Outlined]) -> bool:
    """Return whether a line has two rings within it: it is the outer line of an outlined 8."""
    rings = [each for each in found[at].held if largest_hole(each, found) >= _RING_OF_EIGHT * found[each].area]
    return found[at].is_hole and len(rings) == _RINGS


def _may_be_bare(at: int, found: list[Outlined]) -> bool:
    """Return whether an outline is large enough, and filled, or within a line much thinner than a pen's."""
    _, area, (_, _, width, height), outer, is_hole, held = found[at]
    if min(width, height) < LEAST_PX or max(width, height) > SQUARE * min(width, height):
        return False
    if is_hole:
        return area >= _FRAME_FILLED * found[outer].area
    solid = sum(found[each].area for each in held) <= _HOLED * area
    return solid and convexity(found[at].outline, area) >= _PLATE
