"""Ink planes to the strokes that are the digit's: lines, frames and specks are taken out.

runs    the ink of each row as runs from column to column, joined to components where they touch
lines   what runs straight from edge to edge, or along all sides of a frame, is erased where no stroke crosses it
keep    the largest component, and what is large or near enough to belong to it
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.planes import Planes, plane_of

BOX = 4
"""Numbers of a box: top, left, bottom, right (the last two exclusive), px of the plane."""
FACTS = 8
"""Numbers about the strokes of each picture: see `keep_strokes`."""

_INK = np.float32(0.3)  # from here on a pixel counts as ink
_HALO_PX = 2  # a stroke's soft edge reaches this far beyond what counts as ink
_LINES_MIN_PX = 20  # below this side a digit's own bar runs from edge to edge
_FRAME_SIDES = 3  # and more make a frame: the fourth may be cut off
_BAND_MAX = 0.3  # of the picture's side
_BAND_EVEN = 0.85  # of its length a band has its thickness, up to 1 px
_LINE_STEEP = 0.15  # px per px
_LINE_LEVEL = 0.01  # px per px: below this a line is level
_LINE_DARKER = 0.25  # darker than the line: a stroke lies on it
_LINE_SEEN = 0.25  # of the width a line must be seen alone, without a stroke
_LINE_GAPS = 0.08  # of the width it may be missing
_KEEP_MASS = 0.12  # of the largest component's: a component of its own right
_SPECK_MASS = 0.02  # of the largest component's: dirt, however near
_NEAR = 0.12  # of the longer side of the largest component's box
_FRAMED_MASS = 0.08  # of a frame's: what is drawn inside it
_FRAMED_SIZE = 1.2  # times the size of what is inside: both sides of a frame
_PARTS_MAX = 100  # more components are noise, and comparing all with all would take long


def keep_strokes(ink: Planes) -> tuple[Planes, NDArray[np.int64], NDArray[np.float32]]:
    """Keep what belongs to the digit, erase the rest.

    Returns
    -------
    strokes : Planes
        As `ink`, with 0 for all that is not kept.
    boxes : (n, 4) int64
        Top, left, bottom and right of what is kept; all 0 if nothing is.
    facts : (n, 8) float32
        Of each picture: number of components of significant mass; mass of the second largest (of the largest's);
        kept ink (of all ink); pixels that are ink; ink at the picture's edge (of all kept); mean level of the
        pixels that are ink; edge pixels for each ink pixel; ink erased as lines or frame (of all ink).
    """
    strokes = Planes(np.zeros_like(ink.values), ink.starts, ink.sides)
    boxes = np.zeros((len(ink.sides), BOX), np.int64)
    facts = np.zeros((len(ink.sides), FACTS), np.float32)
    _keep_strokes(ink, strokes, boxes, facts)
    return strokes, boxes, facts


@compiled
def _keep_strokes(
    ink_planes: Planes, stroke_planes: Planes, boxes: NDArray[np.int64], facts: NDArray[np.float32]
) -> None:
    for index in range(len(boxes)):
        ink = plane_of(ink_planes, index)
        strokes = plane_of(stroke_planes, index)
        height, width = ink.shape
        runs = _find_runs(ink)
        if len(runs) == 0:
            continue
        _join_runs(runs)
        parts, masses = _components(ink, runs)
        if min(height, width) >= _LINES_MIN_PX and _spans(parts, height, width):
            before = masses.sum()
            erased = ink.copy()
            _erase_frame(erased, parts)
            _erase_lines(erased)
            for _ in range(4):
                _erase_lines(erased)
                erased = np.ascontiguousarray(erased.T[::-1])  # a quarter turn: from all four sides
            new_runs = _find_runs(erased)
            _join_runs(new_runs)
            new_parts, new_masses = _components(erased, new_runs)
            if len(new_runs) > 0 and new_masses.max() > 0.005 * height * width:
                ink, runs, parts, masses = erased, new_runs, new_parts, new_masses
                facts[index, 7] = 1 - masses.sum() / before
        kept = _choose(parts, masses, runs)
        _copy(ink, strokes, runs, kept)
        _enclose(parts, kept, boxes[index])
        _weigh(masses, kept, facts[index])
        _describe(ink, runs, kept, facts[index])


@compiled
def _find_runs(ink: NDArray[np.float32]) -> NDArray[np.int32]:
    """List runs of ink: row, first column, column behind the last, and (for `_join_runs`) the run's own number."""
    height, width = ink.shape
    runs = np.empty((height * ((width + 1) // 2), 4), np.int32)
    count = 0
    for y in range(height):
        inside = False
        for x in range(width):
            if ink[y, x] > _INK:
                if not inside:
                    runs[count, 0], runs[count, 1], runs[count, 3] = y, x, count
                    inside = True
            elif inside:
                runs[count, 2] = x
                count += 1
                inside = False
        if inside:
            runs[count, 2] = width
            count += 1
    return runs[:count]


@compiled
def _root(runs: NDArray[np.int32], run: int) -> int:
    while runs[run, 3] != run:
        runs[run, 3] = runs[runs[run, 3], 3]
        run = runs[run, 3]
    return run


@compiled
def _join_runs(runs: NDArray[np.int32]) -> None:
    """Give touching runs (also by a corner) one root, then number the roots 0, 1, ... in column 3."""
    above = 0
    for run in range(len(runs)):
        while runs[above, 0] < runs[run, 0] - 1 or (
            runs[above, 0] == runs[run, 0] - 1 and runs[above, 2] < runs[run, 1]
        ):
            above += 1
        other = above
        while runs[other, 0] == runs[run, 0] - 1 and runs[other, 1] <= runs[run, 2]:
            one, two = _root(runs, run), _root(runs, other)
            runs[max(one, two), 3] = min(one, two)
            other += 1
    # A root comes before all its runs, so its new number is known when they ask for it.
    number = 0
    for run in range(len(runs)):
        if runs[run, 3] == run:
            runs[run, 3] = number
            number += 1
        else:
            runs[run, 3] = runs[runs[run, 3], 3]


@compiled
def _components(ink: NDArray[np.float32], runs: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give each component's box and mass."""
    number = 0
    for run in range(len(runs)):
        number = max(number, runs[run, 3] + 1)
    parts = np.empty((number, 4), np.int64)
    parts[:, 0], parts[:, 1] = ink.shape
    parts[:, 2:] = 0
    masses = np.zeros(number)
    for run in range(len(runs)):
        y, left, right, part = runs[run]
        parts[part, 0] = min(parts[part, 0], y)
        parts[part, 1] = min(parts[part, 1], left)
        parts[part, 2] = max(parts[part, 2], y + 1)
        parts[part, 3] = max(parts[part, 3], right)
        for x in range(left, right):
            masses[part] += ink[y, x]
    return parts, masses


@compiled
def _spans(parts: NDArray[np.int64], height: int, width: int) -> bool:
    """Tell whether a component runs from edge to edge, or is large enough for a frame."""
    for part in range(len(parts)):
        top, left, bottom, right = parts[part]
        across = left <= 1 and right >= width - 1
        along = top <= 1 and bottom >= height - 1
        if across or along or (bottom - top > 0.6 * height and right - left > 0.6 * width):
            return True
    return False


@compiled
def _erase_frame(ink: NDArray[np.float32], parts: NDArray[np.int64]) -> None:
    height, width = ink.shape
    for part in range(len(parts)):
        top, left, bottom, right = parts[part]
        if bottom - top <= 0.6 * height or right - left <= 0.6 * width:
            continue
        inner = ink[top:bottom, left:right].copy()
        sides = 0
        for _ in range(4):
            inner = np.ascontiguousarray(inner.T[::-1])  # a quarter turn: the four sides come up one by one
            if _side(inner) > 0:
                sides += 1
        if sides < _FRAME_SIDES:
            continue
        for _ in range(4):
            inner = np.ascontiguousarray(inner.T[::-1])
            thickness = _side(inner)
            if thickness > 0:
                _erase_side(inner, thickness)
        ink[top:bottom, left:right] = inner


@compiled
def _side(ink: NDArray[np.float32]) -> float:
    """Give the thickness of the line along the top of this plane, or 0 if there is none."""
    height, width = ink.shape
    lengths = np.zeros(width)
    for x in range(width):
        start, end = _first_run(ink, x)
        lengths[x] = end - start
    covered = (lengths > 0).sum()
    if covered < 0.75 * width:
        return 0.0
    thickness = np.median(lengths)
    return thickness if thickness < 0.2 * height else 0.0


@compiled
def _first_run(ink: NDArray[np.float32], x: int) -> tuple[int, int]:
    height = ink.shape[0]
    reach = max(2, int(0.06 * height))
    start = 0
    while start < reach and ink[start, x] <= _INK:
        start += 1
    if start == reach:
        return 0, 0
    end = start
    while end < height and ink[end, x] > _INK:
        end += 1
    return start, end


@compiled
def _erase_side(ink: NDArray[np.float32], thickness: float) -> None:
    height, width = ink.shape
    for x in range(width):
        start, end = _first_run(ink, x)
        if end > start and end - start <= 1.5 * thickness + 1:
            for y in range(start, min(height, end + 1)):
                ink[y, x] = 0


@compiled
def _erase_lines(ink: NDArray[np.float32]) -> None:
    """Follow each thin run at the left edge to the right edge; erase it where no stroke crosses."""
    height, width = ink.shape
    _erase_band(ink)
    thick = max(2, int(0.08 * height))
    found = np.zeros((width, 2), np.int64)
    y = 0
    while y < height:
        end = _run_end(ink, y, 0)
        if 0 < end - y <= thick and _follow(ink, y, end, found) > 0:
            for x in range(width):
                if found[x, 1] > 0:
                    ink[max(0, found[x, 0] - 1) : found[x, 1] + 1, x] = 0
        y = end + 1


@compiled
def _erase_band(ink: NDArray[np.float32]) -> None:
    """Erase a dark edge along the top, as scanners leave it: of one thickness and as long as the picture is wide."""
    height, width = ink.shape
    ends = np.empty(width, np.int64)
    for x in range(width):
        ends[x] = _run_end(ink, 0, x)
    thickness = np.median(ends)
    if not 0 < thickness <= _BAND_MAX * height or (np.abs(ends - thickness) <= 1).mean() < _BAND_EVEN:
        return
    for x in range(width):
        if ends[x] <= thickness + 1:
            ink[: ends[x] + 1, x] = 0


@compiled
def _run_end(ink: NDArray[np.float32], y: int, x: int) -> int:
    """Give the row below the run that starts here (this row itself, if there is no ink)."""
    while y < ink.shape[0] and ink[y, x] > _INK:
        y += 1
    return y


@compiled
def _follow(ink: NDArray[np.float32], top: int, bottom: int, found: NDArray[np.int64]) -> float:
    """Follow a line from its run in column 0; fill `found` with its run in each column where nothing crosses it.

    Returns
    -------
    thickness : float
        In px; 0 if the line ends on the way, or is covered for the most part.
    """
    height, width = ink.shape
    found[:, :] = 0
    at = (top + bottom - 1) / 2
    thickness = float(bottom - top)
    level = ink[top:bottom, 0].mean()
    slope = 0.0
    hits = 0
    gaps = 0
    for x in range(width):
        row = round(at)
        for step in (0, -1, 1):
            if 0 <= row + step < height and ink[row + step, x] > _INK:
                row += step
                break
        if not 0 <= row < height:
            return thickness if hits >= _LINE_SEEN * width else 0.0
        if ink[row, x] <= _INK:
            gaps += 1
        else:
            top = row
            while top > 0 and ink[top - 1, x] > _INK:
                top -= 1
            bottom = _run_end(ink, row, x)
            here = ink[top:bottom, x].mean()
            # A line that is not quite level is a px thicker where it steps from row to row.
            rough = 1 if abs(slope) > _LINE_LEVEL else 0
            if bottom - top <= math.ceil(thickness) + rough and here <= level + _LINE_DARKER:
                found[x, 0], found[x, 1] = top, bottom
                hits += 1
                thickness += (bottom - top - thickness) / hits
                level += (here - level) / hits
                off = (top + bottom - 1) / 2 - at
                slope = min(_LINE_STEEP, max(-_LINE_STEEP, slope + 0.05 * off))
                at += 0.4 * off
        at += slope
    ends = found[width - 1, 1] > 0
    return thickness if ends and hits >= _LINE_SEEN * width and gaps <= _LINE_GAPS * width else 0.0


@compiled
def _choose(parts: NDArray[np.int64], masses: NDArray[np.float64], runs: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Keep what has mass of its own, and what lies near to something kept: the dots of a stroke join one another."""
    main = _innermost(parts, masses, runs)
    near = max(2.0, _NEAR * max(parts[main, 2] - parts[main, 0], parts[main, 3] - parts[main, 1]))
    kept = masses >= _KEEP_MASS * masses[main]
    for part in range(len(parts)):
        if part != main and _encloses(parts, runs, part, main):
            kept[part] = masses[part] = 0
    if len(parts) > _PARTS_MAX:
        return kept
    grown = True
    while grown:
        grown = False
        for part in range(len(parts)):
            if kept[part] or masses[part] < _SPECK_MASS * masses[main]:
                continue
            for other in range(len(parts)):
                if kept[other] and _gap(parts[part], parts[other]) <= near:
                    kept[part] = grown = True
                    break
    return kept


@compiled
def _innermost(parts: NDArray[np.int64], masses: NDArray[np.float64], runs: NDArray[np.int32]) -> int:
    """Find the largest component; if it is drawn around another one, as a frame or a circle is, that other one."""
    main = masses.argmax()
    inner = -1
    for part in range(len(parts)):
        if (
            part != main
            and masses[part] >= _FRAMED_MASS * masses[main]
            and (inner < 0 or masses[part] > masses[inner])
            and _encloses(parts, runs, main, part)
        ):
            inner = part
    return inner if inner >= 0 else main


@compiled
def _encloses(parts: NDArray[np.int64], runs: NDArray[np.int32], outer: int, inner: int) -> bool:
    """Tell whether one component is to be met on all four ways out of the middle of another, and is far larger."""
    top, left, bottom, right = parts[inner]
    around = parts[outer]
    if not (around[0] < top and around[1] < left and around[2] > bottom and around[3] > right):
        return False
    if min(around[2] - around[0], around[3] - around[1]) < _FRAMED_SIZE * max(bottom - top, right - left):
        return False
    y, x = (top + bottom) // 2, (left + right) // 2
    met = np.zeros(4, np.bool_)
    for run in range(len(runs)):
        if runs[run, 3] != outer:
            continue
        if runs[run, 0] == y:
            met[0 if runs[run, 2] <= x else 1] = True
        if runs[run, 1] <= x < runs[run, 2]:
            met[2 if runs[run, 0] < y else 3] = True
    return bool(met.all())


@compiled
def _gap(one: NDArray[np.int64], two: NDArray[np.int64]) -> int:
    """Give the distance of two boxes along the axis where it is longer, in px."""
    above = max(one[0] - two[2], two[0] - one[2])
    beside = max(one[1] - two[3], two[1] - one[3])
    return max(0, above, beside)


@compiled
def _copy(
    ink: NDArray[np.float32],
    strokes: NDArray[np.float32],
    runs: NDArray[np.int32],
    kept: NDArray[np.bool_],
) -> None:
    """Copy the kept runs and their soft edges."""
    height, width = ink.shape
    for run in range(len(runs)):
        y, left, right, part = runs[run]
        if not kept[part]:
            continue
        for row in range(max(0, y - _HALO_PX), min(height, y + _HALO_PX + 1)):
            for x in range(max(0, left - _HALO_PX), min(width, right + _HALO_PX)):
                strokes[row, x] = ink[row, x]


@compiled
def _enclose(parts: NDArray[np.int64], kept: NDArray[np.bool_], box: NDArray[np.int64]) -> None:
    box[0], box[1] = parts[:, 0].max(), parts[:, 1].max()
    for part in range(len(parts)):
        if kept[part]:
            box[0], box[1] = min(box[0], parts[part, 0]), min(box[1], parts[part, 1])
            box[2], box[3] = max(box[2], parts[part, 2]), max(box[3], parts[part, 3])


@compiled
def _weigh(masses: NDArray[np.float64], kept: NDArray[np.bool_], facts: NDArray[np.float32]) -> None:
    main = masses.argmax()
    for part in range(len(masses)):
        share = masses[part] / masses[main]
        facts[0] += share >= _KEEP_MASS
        facts[2] += masses[part] / masses.sum() if kept[part] else 0.0
        if part != main:
            facts[1] = max(facts[1], share)


@compiled
def _describe(
    ink: NDArray[np.float32], runs: NDArray[np.int32], kept: NDArray[np.bool_], facts: NDArray[np.float32]
) -> None:
    """Count what kind of pixels the kept strokes have."""
    height, width = ink.shape
    area = 0
    level = 0.0
    edge = 0
    rim = 0
    for y, left, right, part in runs:
        if not kept[part]:
            continue
        area += right - left
        top_or_bottom = y in (0, height - 1)
        rim += right - left if top_or_bottom else (left == 0) + (right == width)
        for x in range(left, right):
            level += ink[y, x]
            inner = left < x < right - 1 and not top_or_bottom and min(ink[y - 1, x], ink[y + 1, x]) > _INK
            edge += not inner
    facts[3] = area
    facts[4] = rim / area
    facts[5] = level / area
    facts[6] = edge / area
