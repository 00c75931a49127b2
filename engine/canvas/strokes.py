"""Selects the strokes of the digit and measures them.

The main component is the largest; or, if it encloses another one like a drawn circle, the enclosed one. Components with
a large mass are kept too (the bar of a 5, several digits), and so are small ones near a kept component. All others are
dirt.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import LEFT, PART, RIGHT, ROW, SHARED, Components
from engine.canvas.planes import Planes, plane_of
from engine.compiled import compiled

FACTS = 8
"""Numbers about the strokes of each picture: see `keep_strokes`."""

_HALO_PX = 2  # a stroke's soft edge reaches this far beyond what counts as ink
_KEEP_MASS = 0.12  # of the main component's mass: always kept
_SPECK_MASS = 0.02  # of the main component's mass: dirt, even if it is near
_NEAR = 0.12  # of the longer side of the main component's box
_FRAMED_MASS = 0.08  # of the enclosing component's mass: the enclosed one is the digit
_FRAMED_SIZE = 1.2  # times the enclosed component's size: the enclosing one, at least
_COUNTED_MAX = 10  # components that are counted at most
_RIM = 4  # the fact that says how much of the ink is at the picture's edge
_CROPPED_SHARE = np.float32(0.97)  # of the ink is in the one component
_CROPPED_RIM = np.float32(0.15)  # of the ink is at the rim, at most: more is no stroke that ends there
_PARTS_MAX = 100  # more components are noise, and comparing all pairs would take long


def keep_strokes(ink: Planes, components: Components) -> tuple[Planes, NDArray[np.int64], NDArray[np.float32]]:
    """Keep the strokes of the digit.

    Returns
    -------
    strokes : Planes
        As `ink`, with 0 where nothing is kept.
    boxes : (n, 4) int64
        Top, left, bottom and right of what is kept; all 0 if nothing is.
    facts : (n, 8) float32
        Of each picture: number of components of significant mass, at most 10; mass of the second largest (of the
        largest's); kept ink (of all ink); part of the box that is ink; kept pixels at the picture's edge (of all
        kept), or 0 if it is cut to its digit; their mean level; px of outline for each of them; logarithm of the box's
        width to its height.
    """
    strokes = ink._replace(values=np.zeros_like(ink.values))
    boxes = np.zeros((len(ink.sides), 4), np.int64)
    facts = np.zeros((len(ink.sides), FACTS), np.float32)
    _keep_strokes((ink, strokes), components, boxes, facts)
    return strokes, boxes, facts


@compiled
def _keep_strokes(
    planes: tuple[Planes, Planes], found: Components, boxes: NDArray[np.int64], facts: NDArray[np.float32]
) -> None:
    for index in range(len(boxes)):
        first, last = found.starts[index], found.starts[index + 1]
        if first == last:
            continue
        first_run, last_run = found.run_starts[index], found.run_starts[index + 1]
        written = found.runs[first_run:last_run], found.run_masses[first_run:last_run]
        parts = found.boxes[first:last], found.masses[first:last]
        keep((plane_of(planes[0], index), plane_of(planes[1], index)), written, parts, boxes[index], facts[index])


@compiled
def keep(
    planes: tuple[NDArray[np.float32], NDArray[np.float32]],
    written: tuple[NDArray[np.int32], NDArray[np.float32]],
    parts: tuple[NDArray[np.int32], NDArray[np.float32]],
    box: NDArray[np.int64],
    facts: NDArray[np.float32],
) -> None:
    """Keep the strokes of one picture, which has components: of ink and strokes, its runs, and the components."""
    (ink, strokes), (runs, _), (boxes, masses) = planes, written, parts
    kept = _choose(boxes, masses, runs)
    _copy(ink, strokes, runs, kept)
    _enclose(boxes, kept, box)
    _weigh(masses, kept, facts)
    _describe(written, kept, ink.shape, facts)
    _measure(box, facts)
    if _is_cropped(box, facts, ink.shape):
        facts[_RIM] = 0  # the rim of a picture cut to its digit says nothing


@compiled
def _choose(parts: NDArray[np.int32], masses: NDArray[np.float32], runs: NDArray[np.int32]) -> NDArray[np.bool_]:
    kept = np.empty(len(parts), np.bool_)
    if len(parts) == 1:
        kept[0] = True
        return kept
    main = _main(parts, masses, runs)
    for part in range(len(parts)):
        kept[part] = masses[part] >= _KEEP_MASS * masses[main] and not _encloses(parts, runs, part, main)
    if len(parts) > _PARTS_MAX:
        return kept
    # A kept component can bring in its neighbours, so the search is repeated until nothing is added.
    near = max(2.0, _NEAR * max(parts[main, 2] - parts[main, 0], parts[main, 3] - parts[main, 1]))
    grown = True
    while grown:
        grown = False
        for part in range(len(parts)):
            if kept[part] or not _SPECK_MASS <= masses[part] / masses[main] < _KEEP_MASS:
                continue
            for other in range(len(parts)):
                if kept[other] and _gap(parts[part], parts[other]) <= near:
                    kept[part] = grown = True
                    break
    return kept


@compiled
def _main(parts: NDArray[np.int32], masses: NDArray[np.float32], runs: NDArray[np.int32]) -> int:
    """Find the largest component, or the largest that is enclosed by it."""
    largest = _largest(masses)
    inner = -1
    for part in range(len(parts)):
        if (
            masses[part] >= _FRAMED_MASS * masses[largest]
            and (inner < 0 or masses[part] > masses[inner])
            and _encloses(parts, runs, largest, part)
        ):
            inner = part
    return inner if inner >= 0 else largest


@compiled
def _largest(masses: NDArray[np.float32]) -> int:
    """Return the first of the largest components; there is at least one."""
    largest = 0
    for part in range(1, len(masses)):
        if masses[part] > masses[largest]:
            largest = part
    return largest


@compiled
def _encloses(parts: NDArray[np.int32], runs: NDArray[np.int32], outer: int, inner: int) -> bool:
    """Return whether a component is far larger than another and surrounds its middle on all four sides."""
    top, left, bottom, right = parts[inner]
    outer_top, outer_left, outer_bottom, outer_right = parts[outer]
    if not (outer_top < top and outer_left < left and outer_bottom > bottom and outer_right > right):
        return False
    if min(outer_bottom - outer_top, outer_right - outer_left) < _FRAMED_SIZE * max(bottom - top, right - left):
        return False
    y, x = (top + bottom) // 2, (left + right) // 2
    to_left = to_right = above = below = False
    for run in range(len(runs)):
        if runs[run, PART] != outer:
            continue
        if runs[run, ROW] == y:
            to_left = to_left or runs[run, RIGHT] <= x
            to_right = to_right or runs[run, RIGHT] > x
        if runs[run, LEFT] <= x < runs[run, RIGHT]:
            above = above or runs[run, ROW] < y
            below = below or runs[run, ROW] >= y
    return bool(to_left and to_right and above and below)


@compiled
def _gap(one: NDArray[np.int32], two: NDArray[np.int32]) -> int:
    """Return the distance of two boxes in px, along the axis where it is longer."""
    above = max(one[0] - two[2], two[0] - one[2])
    beside = max(one[1] - two[3], two[1] - one[3])
    return int(max(0, above, beside))


@compiled
def _copy(
    ink: NDArray[np.float32], strokes: NDArray[np.float32], runs: NDArray[np.int32], kept: NDArray[np.bool_]
) -> None:
    """Copy the kept runs and their soft edges."""
    height, width = ink.shape
    # The runs, widened by the halo, with spare rows above and below.
    marks = np.zeros((height + 2 * _HALO_PX, width), np.uint8)
    for run in range(len(runs)):
        if kept[runs[run, PART]]:
            left, right = runs[run, LEFT] - _HALO_PX, runs[run, RIGHT] + _HALO_PX
            marks[runs[run, ROW] + _HALO_PX, max(0, left) : right] = 1
    for y in range(height):
        near = marks[y : y + 2 * _HALO_PX + 1]
        for x in range(width):
            marked = near[0, x] | near[1, x] | near[2, x] | near[3, x] | near[4, x]
            strokes[y, x] = ink[y, x] if marked else np.float32(0)


@compiled
def _enclose(parts: NDArray[np.int32], kept: NDArray[np.bool_], box: NDArray[np.int64]) -> None:
    first = True
    for part in range(len(parts)):
        if kept[part]:
            top, left, bottom, right = parts[part]
            box[0] = top if first else min(box[0], top)
            box[1] = left if first else min(box[1], left)
            box[2], box[3] = max(box[2], bottom), max(box[3], right)
            first = False


@compiled
def _weigh(masses: NDArray[np.float32], kept: NDArray[np.bool_], facts: NDArray[np.float32]) -> None:
    largest = _largest(masses)
    total = np.float32(0)
    for part in range(len(masses)):
        total += masses[part]
    for part in range(len(masses)):
        share = masses[part] / masses[largest]
        facts[0] = min(_COUNTED_MAX, facts[0] + (share >= _KEEP_MASS))
        facts[2] += masses[part] / total if kept[part] else 0
        if part != largest:
            facts[1] = max(facts[1], share)


@compiled
def _describe(
    written: tuple[NDArray[np.int32], NDArray[np.float32]],
    kept: NDArray[np.bool_],
    sides: tuple[int, int],
    facts: NDArray[np.float32],
) -> None:
    runs, masses = written
    height, width = sides
    area = 0
    outline = 0
    rim = 0
    mass = np.float32(0)
    for run in range(len(runs)):
        if not kept[runs[run, PART]]:
            continue
        y, left, right = runs[run, ROW], runs[run, LEFT], runs[run, RIGHT]
        area += right - left
        outline += 2 + 2 * (right - left - runs[run, SHARED])
        rim += right - left if y in (0, height - 1) else int(left == 0) + int(right == width)
        mass += masses[run]
    facts[3] = area
    facts[4] = rim / area
    facts[5] = mass / area
    facts[6] = outline / area


@compiled
def _measure(box: NDArray[np.int64], facts: NDArray[np.float32]) -> None:
    height, width = box[2] - box[0], box[3] - box[1]
    facts[3] /= height * width
    facts[7] = math.log(width / height)


@compiled
def _is_cropped(box: NDArray[np.int64], facts: NDArray[np.float32], sides: tuple[int, int]) -> bool:
    """Return whether a picture is cut to the one component that it shows, to 1 px."""
    height, width = sides
    if box[0] > 1 or box[1] > 1 or box[2] < height - 1 or box[3] < width - 1:
        return False
    return bool(facts[0] == 1 and facts[2] >= _CROPPED_SHARE and facts[_RIM] <= _CROPPED_RIM)
