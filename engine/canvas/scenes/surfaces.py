"""Finds the surface that the digit lies on: a plate, a badge, a key, a sheet on a desk, the inside of a box or ring.

outlines  trace the borders of the ink, and which lies within which [1]_
surface   a convex outline that holds something which is no digit's own hole
cut out   the surface alone, at full resolution; what lies around it gets the colour of the surface

The picture of the surface is then processed like any other: a surface on it (a badge with a rim) is then found, too.

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
from engine.canvas.planes import reduce

Outline = NDArray[np.int32]
Box = tuple[int, int, int, int]

LEAST_PX = 24
"""A smaller box, as MNIST's digits have, holds no surface with a legible digit."""

_OUTLINES_MAX = 400  # more are noise
_OUTLINE_MIN_PX = 12  # of its length: shorter ones are specks
_SIDE_MIN_PX = 9  # of a surface
_CONVEX = 0.93  # of its convex hull is filled by a surface
_PLATE = 0.96  # of its hull is filled by a bare plate, and not by a fat 0 or 8
_STROKE = 0.84  # of its hull is filled by a stroke that is not straight, at most
_BENT = 0.65  # of a stroke that is bent more than the hole of any 0
_LONG = 2.8  # area to the square of the width: of a bent stroke
_BLOT = 0.4  # of the surface: more is the hole of a 0
_SPECK = 0.004  # of the surface's area: smaller content does not count
_CONTENT_SIDE = (0.2, 0.97)  # of the surface's longer side
_HOLE_OF_CONTENT = 0.1  # of its area: a 0 on a surface; the dot of a dotted 0 is smaller
_STRAIGHT = 2.0  # length to width: a 1
_SQUARE = 1.6  # the sides of a surface with a 1 differ by no more
_ONE_SIDED = 1.4  # the paper beside a 1 is so much wider than above it; in a 0 the pen is as wide all around
_ONE_AREA = 0.13  # of the surface is covered by a 1, at most
_RIM_SHARES = (0.1, 0.9)  # of the points along a 1: those above it, and those beside it
_RING_FILLED = 0.7  # of a ring's area is within its line: a 0 has a thicker pen
_RINGS = 2  # in a hollow 8,
_RING_OF_EIGHT = 0.45  # of the area of each is within its line
_HOLED = 0.15  # of a plate's area is holes, at most, if nothing on it was found
_FRAME_FILLED = 0.55  # of a frame's area is within it
_RIM = 0.05  # of a bare plate's side: it may have a rim of another colour
_EDGE_PX = 2  # soft edge of the surface
_VIEW_MAX_PX = 512
_GRAIN = 12.0  # grey levels from the median: certainly the surface


class Surface(NamedTuple):
    """Where the digit lies on."""

    mask: NDArray[np.uint8]
    """(h, w), 1 on the surface without its edge."""
    is_bare: bool
    """Nothing on it is visible in this mix of colours."""


class _Outlined(NamedTuple):
    outline: Outline
    area: float
    box: Box
    """Left, top, width, height."""
    within: int
    """The outline around this one; -1 if there is none."""
    is_hole: bool
    """It runs along the ink around it."""
    held: list[int]
    """The outlines that lie directly within this one: listed once, since a hostile picture has hundreds."""


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
    found = _outlines(ink)
    convex = [at for at, each in enumerate(found) if _may_be_surface(each) and not _is_hollow_eight(at, found)]
    if not convex:
        return None
    written = _innermost([at for at in convex if _is_written_on(at, found)], found)
    if len(written) > 1:
        return None
    bare = _innermost([at for at in convex if _may_be_bare(at, found)], found)
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


def cut_out(whole: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture of the surface alone.

    Parameters
    ----------
    whole : (h, w) or (h, w, 3) uint8
        The picture.
    mask : (h / n, w / n) uint8
        Of the surface, in the picture reduced by n.
    """
    rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    down, across = whole.shape[0] // mask.shape[0], whole.shape[1] // mask.shape[1]
    view = reduce(whole[top * down : bottom * down, left * across : right * across], _VIEW_MAX_PX)
    size = view.shape[1::-1]
    inside = cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST) > 0
    surface = _surface_of(view, mask[top:bottom, left:right])
    return np.where(inside.reshape(*inside.shape, *[1] * (view.ndim - 2)), view, surface)


def _outlines(ink: NDArray[np.float32]) -> list[_Outlined]:
    """Trace all outlines but specks; an outline stands after the one that it lies in."""
    mask = (ink > INK).astype(np.uint8)
    outlines, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    if not 0 < len(outlines) <= _OUTLINES_MAX:
        return []
    found: list[_Outlined] = []
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
        found.append(_Outlined(outline, cv2.contourArea(outline), cv2.boundingRect(outline), within, is_hole, []))
        inner = int(tree[0, at, 2])
        while inner >= 0:
            waiting.append(inner)
            inner = int(tree[0, inner, 0])
    return found


def _innermost(chosen: list[int], found: list[_Outlined]) -> list[int]:
    """Leave out outlines around others that were chosen."""
    around = set()
    for at in chosen:
        outer = found[at].within
        while outer >= 0 and outer not in around:
            around.add(outer)
            outer = found[outer].within
    return [at for at in chosen if at not in around]


def _may_be_surface(each: _Outlined) -> bool:
    return min(each.box[2:]) >= _SIDE_MIN_PX and _convexity(each.outline, each.area) >= _CONVEX


def _is_hollow_eight(at: int, found: list[_Outlined]) -> bool:
    """Return whether a line has two rings within it: it is the outer line of an outlined 8."""
    rings = [each for each in found[at].held if _largest_hole(each, found) >= _RING_OF_EIGHT * found[each].area]
    return found[at].is_hole and len(rings) == _RINGS


def _may_be_bare(at: int, found: list[_Outlined]) -> bool:
    """Return whether an outline is large enough, and filled, or within a line much thinner than a pen's."""
    _, area, (_, _, width, height), outer, is_hole, held = found[at]
    if min(width, height) < LEAST_PX or max(width, height) > _SQUARE * min(width, height):
        return False
    if is_hole:
        return area >= _FRAME_FILLED * found[outer].area
    solid = sum(found[each].area for each in held) <= _HOLED * area
    return solid and _convexity(found[at].outline, area) >= _PLATE


def _is_written_on(at: int, found: list[_Outlined]) -> bool:
    _, area, (_, _, width, height) = found[at][:3]
    held = [each for each in found[at].held if found[each].area >= _SPECK * area]
    if not held:
        return False
    left, top, right, bottom = _around([found[each].box for each in held])
    longest = max(right - left, bottom - top) / max(width, height)
    if not _CONTENT_SIDE[0] <= longest <= _CONTENT_SIDE[1]:
        return False
    if any(_is_stroke(each, found) for each in held if found[each].area <= _BLOT * area):
        return True
    return len(held) == 1 and _is_one(found[held[0]], found[at])


def _is_stroke(at: int, found: list[_Outlined]) -> bool:
    """Return whether something is a bent stroke, or has a hole of its own; the hole of a 0 is neither."""
    outline, area = found[at][:2]
    holes = _largest_hole(at, found)
    if holes >= _RING_FILLED * area:  # a mere line: this is the inner outline of a hollow digit
        return False
    convexity = _convexity(outline, area)
    return holes >= _HOLE_OF_CONTENT * area or convexity < _BENT or (convexity < _STROKE and _is_long(at, found))


def _largest_hole(at: int, found: list[_Outlined]) -> float:
    return max((found[each].area for each in found[at].held), default=0.0)


def _is_long(at: int, found: list[_Outlined]) -> bool:
    """Return whether a shape is much longer than it is wide, along whatever bends."""
    left, top, width, height = found[at].box
    mask = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(mask, [found[at].outline], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
    holes = [found[each].outline for each in found[at].held]
    cv2.drawContours(mask, holes, -1, 0, cv2.FILLED, offset=(1 - left, 1 - top))
    wide = 2 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 3).max())
    return cv2.countNonZero(mask) >= _LONG * wide * wide


def _is_one(held: _Outlined, surface: _Outlined) -> bool:
    """Return whether something straight is a 1 on a surface, and not the hole of a 0."""
    _, held_sides, _ = cv2.minAreaRect(held.outline)
    _, sides, _ = cv2.minAreaRect(surface.outline)
    if min(held_sides) + 1 > (max(held_sides) + 1) / _STRAIGHT or max(sides) > _SQUARE * min(sides):
        return False
    if held.area > _ONE_AREA * surface.area:
        return False
    left, top, width, height = surface.box
    mask = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(mask, [surface.outline], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
    away = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    x, y = (held.outline[:, 0] + (1 - left, 1 - top)).T
    near, far = np.quantile(away[y, x], _RIM_SHARES)
    return bool(far >= _ONE_SIDED * near)


def _convexity(outline: Outline, area: float) -> float:
    """Return which part of its convex hull an outline fills."""
    hull = cv2.contourArea(cv2.convexHull(outline))
    return area / hull if hull > 0 else 1.0


def _around(boxes: list[Box]) -> Box:
    """Return left, top, right and bottom of all boxes."""
    sides = np.array(boxes)
    left, top = sides[:, :2].min(axis=0)
    right, bottom = (sides[:, :2] + sides[:, 2:]).max(axis=0)
    return int(left), int(top), int(right), int(bottom)


def _surface_of(view: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Continue the surface's colour over the whole view: a plane through it for each channel."""
    height, width = mask.shape
    small = (
        cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1).astype(np.float32)
    )
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    basis = np.stack([np.ones_like(x), x, y], axis=-1)[mask > 0]
    values = small[mask > 0]
    away = np.abs(values - np.median(values, axis=0)).max(axis=1)
    free = away <= max(_GRAIN, float(np.median(away)))
    slopes = np.linalg.lstsq(basis[free], values[free], rcond=None)[0]
    flat = slopes[0] + x[:, :, None] * slopes[1] + y[:, :, None] * slopes[2]
    flat = np.clip(np.rint(flat), 0, 255).astype(np.uint8)
    continued: NDArray[np.uint8] = cv2.resize(flat, view.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return continued.reshape(view.shape)
