"""Distinguishes a surface with something on it from the outline of a digit, such as a 0 around its hole.

A bent stroke, or something with a hole of its own, is no hole of a 0. What is straight may be a 1 or the hole of a slim
0: around a 0, the pen is as wide beside the hole as above it.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.canvas.scenes.outlines import Box, Outlined, convexity, largest_hole

SQUARE = 1.6
"""Longer to shorter side of a surface that is bare, or holds a 1, at most."""

_STROKE = 0.84  # of its hull is filled by a stroke that is not straight, at most
_BENT = 0.65  # of a stroke that is bent more than the hole of any 0
_LONG = 2.8  # area to the square of the width: of a bent stroke
_BLOT = 0.4  # of the surface: more is the hole of a 0
_SPECK = 0.004  # of the surface's area: smaller content does not count
_CONTENT_SIDE = (0.2, 0.97)  # of the surface's longer side
_HOLE_OF_CONTENT = 0.1  # of its area: a 0 on a surface; the dot of a dotted 0 is smaller
_STRAIGHT = 2.0  # length to width: a 1
_ONE_SIDED = 1.4  # the paper beside a 1 is so much wider than above it; in a 0 the pen is as wide all around
_ONE_AREA = 0.13  # of the surface is covered by a 1, at most
_RIM_SHARES = (0.1, 0.9)  # of the points along a 1: those above it, and those beside it
_RING_FILLED = 0.7  # of a ring's area is within its line: a 0 has a thicker pen


def is_written_on(at: int, found: list[Outlined]) -> bool:
    """Return whether an outline holds a stroke, or something with a hole of its own, and is not the rim of a 0."""
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


def _is_stroke(at: int, found: list[Outlined]) -> bool:
    """Return whether something is a bent stroke, or has a hole of its own; the hole of a 0 is neither."""
    outline, area = found[at][:2]
    holes = largest_hole(at, found)
    if holes >= _RING_FILLED * area:  # a mere line: this is the inner outline of a hollow digit
        return False
    filled = convexity(outline, area)
    return holes >= _HOLE_OF_CONTENT * area or filled < _BENT or (filled < _STROKE and _is_long(at, found))


def _is_long(at: int, found: list[Outlined]) -> bool:
    """Return whether a shape is much longer than it is wide, along whatever bends."""
    left, top, width, height = found[at].box
    mask = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(mask, [found[at].outline], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
    holes = [found[each].outline for each in found[at].held]
    cv2.drawContours(mask, holes, -1, 0, cv2.FILLED, offset=(1 - left, 1 - top))
    wide = 2 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 3).max())
    return cv2.countNonZero(mask) >= _LONG * wide * wide


def _is_one(held: Outlined, surface: Outlined) -> bool:
    """Return whether something straight is a 1 on a surface, and not the hole of a 0."""
    _, held_sides, _ = cv2.minAreaRect(held.outline)
    _, sides, _ = cv2.minAreaRect(surface.outline)
    if min(held_sides) + 1 > (max(held_sides) + 1) / _STRAIGHT or max(sides) > SQUARE * min(sides):
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


def _around(boxes: list[Box]) -> Box:
    """Return left, top, right and bottom of all boxes."""
    sides = np.array(boxes)
    left, top = sides[:, :2].min(axis=0)
    right, bottom = (sides[:, :2] + sides[:, 2:]).max(axis=0)
    return int(left), int(top), int(right), int(bottom)
