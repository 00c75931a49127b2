"""Erases lines that are not part of the writing: lines from edge to edge, frames, the dark edge of a scan.

frame  a large component has a line along at least three of its sides
band   one side of the picture is dark over its whole length
line   a thin run of ink at one edge of the picture continues straight to the opposite edge

The run of the line is erased column by column, but only where it is not thicker or darker than the rest of the line:
elsewhere a stroke crosses it and is kept [1]_.

References
----------
.. [1] C. Dalitz, M. Droettboom, B. Pranzas, I. Fujinaga, "A comparative study of staff removal algorithms", IEEE
       Transactions on Pattern Analysis and Machine Intelligence 30 (5), 2008: line tracking, section 3.1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import Components
from engine.canvas.planes import Planes
from engine.compiled import ZERO, compiled

Floats = NDArray[np.float32]

_INK = np.float32(0.3)  # the same threshold as for components
_SIDE_MIN_PX = 20  # in smaller pictures a stroke of the digit may reach both edges
_LEFT_OVER = 0.005  # of the picture must remain ink; otherwise the lines were the digit

_ONE_PIECE = 0.9  # of the ink: a digit that fills its picture
_CROSS_LEFT = 0.5  # of the ink besides two lines that cross: more is a digit of its own

_FRAME_SIZE = 0.72  # of the picture's sides; MNIST's digits have 20 of 28 px
_FRAME_SIDES = 3  # the fourth may be cut off
_FRAME_SEEN = 0.75  # of a side
_FRAME_THICK = 0.2  # of the frame's size, at most
_FRAME_ASKEW = 0.06  # of the frame's size
_FRAME_ROUGH = 1.5  # times as thick: a stroke crosses

_BAND_THICK = 0.3  # of the picture's side, at most
_BAND_EVEN = 0.85  # of a band's length has the same thickness, up to 1 px

_LINE_THICK = 0.08  # of the picture's side, at most
_LINE_STEEP = 0.15  # px per px
_LINE_LEVEL = 0.01  # px per px: below this a line is level
_LINE_DARKER = 0.25  # darker than the line: a stroke crosses
_LINE_SEEN = 0.25  # of the width in which the line must be visible without a stroke
_LINE_GAPS = 0.08  # of the width in which the line may be missing


def erase_lines(ink: Planes, components: Components) -> NDArray[np.float32]:
    """Erase lines, in place.

    Returns
    -------
    erased : (n,) float32
        Part of each picture's ink that was erased.
    """
    erased = np.zeros(len(ink.sides), np.float32)
    spanned = np.zeros(len(ink.sides), np.bool_)
    _find_spanned(ink.sides, components.boxes, components.starts, spanned)
    for index in np.flatnonzero(spanned):
        plane = ink.values[ink.starts[index] : ink.starts[index + 1]].reshape(ink.sides[index])
        cleared = _cleared(plane, components.boxes[components.starts[index] : components.starts[index + 1]])
        before, after = _mass(plane), _mass(cleared)
        if _is_cropped_to_ink(plane, cleared, after / before):
            continue
        if after > _LEFT_OVER * plane.size:
            erased[index] = 1 - after / before
            plane[:] = cleared
    return erased


def _is_cropped_to_ink(ink: Floats, cleared: Floats, left_over: float) -> bool:
    """Return whether the lines are the bar, foot or stem of a digit to which the picture was cropped.

    Such a digit is one component that touches all four edges, with one line in each direction, or one along each of two
    opposite edges (a 2 or a 7 with two bars). Frames and squared paper have more lines; where a single rule crosses the
    digit, the digit touches no edge.
    """
    mask = (ink > _INK).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, across, down, area = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())]
    height, width = ink.shape
    if left > 1 or top > 1 or left + across < width - 1 or top + down < height - 1 or area < _ONE_PIECE * mask.sum():
        return False
    erased = (mask > 0) & (cleared <= _INK)
    level = _clusters(np.count_nonzero(erased, axis=1) >= _LINE_SEEN * width)
    upright = _clusters(np.count_nonzero(erased, axis=0) >= _LINE_SEEN * height)
    if level + upright == 0:
        return True
    if level == 1 and upright == 1:
        return left_over <= _CROSS_LEFT  # more is a digit on two rules that cross
    return level + upright == 1 or (level, upright) in ((2, 0), (0, 2))


def _clusters(lines: NDArray[np.bool_]) -> int:
    """Count the groups of adjacent rows."""
    return int(np.count_nonzero(lines[1:] & ~lines[:-1])) + int(lines[0])


def _cleared(ink: Floats, parts: NDArray[np.int32]) -> Floats:
    cleared = ink.copy()
    sizes = parts[:, 2:] - parts[:, :2]
    for box in parts[(sizes > _FRAME_SIZE * np.array(ink.shape)).all(axis=1)]:
        _erase_frame(cleared, box)
    for _ in range(4):
        _erase_band(cleared)
        _erase_across(cleared)
        cleared = _rotated(cleared)  # from all four sides
    return cleared


def _rotated(ink: Floats) -> Floats:
    """Rotate by 90 degrees."""
    return np.ascontiguousarray(ink.T[::-1])


def _mass(ink: Floats) -> float:
    return float(ink[ink > _INK].sum())


@compiled
def _find_spanned(
    sides: NDArray[np.int64], boxes: NDArray[np.int32], starts: NDArray[np.int64], spanned: NDArray[np.bool_]
) -> None:
    """Mark pictures in which a component reaches opposite edges or is large enough for a frame."""
    for index in range(len(spanned)):
        height, width = sides[index, 0], sides[index, 1]
        if min(height, width) < _SIDE_MIN_PX:
            continue
        for part in range(starts[index], starts[index + 1]):
            top, left, bottom, right = boxes[part, 0], boxes[part, 1], boxes[part, 2], boxes[part, 3]
            across = left <= 1 and right >= width - 1
            along = top <= 1 and bottom >= height - 1
            if across or along or (bottom - top > _FRAME_SIZE * height and right - left > _FRAME_SIZE * width):
                spanned[index] = True


def _erase_frame(ink: Floats, box: NDArray[np.int32]) -> None:
    """Erase the lines along the sides of a component, if at least three sides have one."""
    top, left, bottom, right = (int(edge) for edge in box)
    inner = ink[top:bottom, left:right]
    sides = 0
    for _ in range(4):
        inner = _rotated(inner)
        sides += _side_thickness(inner, *_first_runs(inner, _reach(inner))) > 0
    if sides < _FRAME_SIDES:
        return
    for _ in range(4):
        inner = _rotated(inner)
        starts, ends = _first_runs(inner, _reach(inner))
        thickness = _side_thickness(inner, starts, ends)
        _clear(inner, np.where((starts < ends) & (ends <= starts + _FRAME_ROUGH * thickness + 1), ends + 1, 0), starts)
    ink[top:bottom, left:right] = inner


def _side_thickness(ink: Floats, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> float:
    """Return the thickness of the line along the top, or -1 if there is none."""
    thickness = _median(ends - starts)
    seen = np.count_nonzero(ends > starts)
    return thickness if seen >= _FRAME_SEEN * ink.shape[1] and thickness < _FRAME_THICK * ink.shape[0] else -1.0


def _median(lengths: NDArray[np.int64]) -> float:
    """Return the median; `np.median` takes ten times as long for so few values."""
    in_order = np.sort(lengths)
    return float(in_order[(len(lengths) - 1) // 2] + in_order[len(lengths) // 2]) / 2


@compiled
def _clear(ink: Floats, ends: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
    for x in range(ink.shape[1]):
        for y in range(starts[x], min(ends[x], ink.shape[0])):
            ink[y, x] = 0


def _reach(ink: Floats) -> int:
    """Return the most rows between a frame and the edge."""
    return max(2, int(_FRAME_ASKEW * len(ink)))


def _first_runs(ink: Floats, reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the first run of each column that starts within `reach` rows; it is empty if there is none."""
    starts, ends = np.zeros(ink.shape[1], np.int64), np.zeros(ink.shape[1], np.int64)
    _find_runs(ink, reach, starts, ends)
    return starts, ends


@compiled
def _find_runs(ink: Floats, reach: int, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    for x in range(ink.shape[1]):
        for y in range(reach):
            if ink[y, x] > _INK:
                starts[x], ends[x] = y, _run_end(ink, y, x)
                break


def _erase_band(ink: Floats) -> None:
    height, width = ink.shape
    _, ends = _first_runs(ink, 1)
    if 2 * np.count_nonzero(ends) < width:  # most columns have no run at the edge
        return
    thickness = _median(ends)
    if not 0 < thickness <= _BAND_THICK * height or (np.abs(ends - thickness) <= 1).mean() < _BAND_EVEN:
        return
    _clear(ink, np.where(ends <= thickness + 1, ends + 1, 0), np.zeros_like(ends))


@compiled
def _erase_across(ink: Floats) -> None:
    """Follow each thin run from the left to the right edge, and erase it where no stroke crosses."""
    height, width = ink.shape
    thick = max(2, int(_LINE_THICK * height))
    found = np.zeros((width, 2), np.int64)
    y = ZERO
    while y < height:
        end = _run_end(ink, y, ZERO)
        if 0 < end - y <= thick and _follow(ink, y, end, found):
            for x in range(width):
                if found[x, 1] > 0:
                    ink[max(0, found[x, 0] - 1) : found[x, 1] + 1, x] = 0
        y = end + 1


@compiled
def _follow(ink: Floats, top: int, bottom: int, found: NDArray[np.int64]) -> bool:
    """Follow a line from its run in column 0; fill `found` with its run in each column where nothing crosses it.

    Returns
    -------
    is_line : bool
        False if it ends before the right edge, or strokes cover most of it.
    """
    height, width = ink.shape
    found[:, :] = 0
    at = (top + bottom - 1) / 2
    thickness = float(bottom - top)
    level = _mean(ink, top, bottom, ZERO)
    slope = 0.0
    hits = 0
    gaps = 0
    for x in range(width):
        row = round(at)
        if not 0 <= row < height:
            return bool(hits >= _LINE_SEEN * width)
        row = _nearest_ink(ink, row, x)
        if row < 0:
            gaps += 1
        else:
            top = row
            while top > 0 and ink[top - 1, x] > _INK:
                top -= 1
            bottom = _run_end(ink, row, x)
            here = _mean(ink, top, bottom, x)
            # A slightly sloped line is 1 px thicker where it steps to the next row.
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
    return bool(found[width - 1, 1] > 0 and hits >= _LINE_SEEN * width and gaps <= _LINE_GAPS * width)


@compiled
def _nearest_ink(ink: Floats, row: int, x: int) -> int:
    """Return this row or a neighbouring one that has ink; -1 if none has."""
    for near in (row, row - 1, row + 1):
        if 0 <= near < ink.shape[0] and ink[near, x] > _INK:
            return near
    return -1


@compiled
def _run_end(ink: Floats, y: int, x: int) -> int:
    """Return the row after the run that starts here; this row if it has no ink."""
    while y < ink.shape[0] and ink[y, x] > _INK:
        y += 1
    return y


@compiled
def _mean(ink: Floats, top: int, bottom: int, x: int) -> float:
    """Return the mean ink of a run."""
    total = np.float32(0)
    for y in range(top, bottom):
        total += ink[y, x]
    return float(total) / (bottom - top)
