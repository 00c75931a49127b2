"""Finds even paper: the grey level that most of the picture has, and the position of the sheet.

Screens, scans and drawings have such a level. Photographs do not; `engine.canvas.background` treats them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.canvas.planes import Planes, plane_of
from engine.compiled import ZERO, compiled

UNEVEN = -1.0
"""The level of uneven paper, which has none."""

_LEVELS = 256
_LANES = 4  # counters of each level: neighbours are often equal, and a counter must not wait for its last step
COUNTS = (_LANES, _LEVELS + 2)
"""The shape of what `find_level` counts in."""

_CERTAIN_SHARE = 0.8  # of the pixels have one level (+-1): it is the paper's
_EVEN_SHARE = 0.2  # of the pixels, at least, have the paper's level
_PEAK_LEVELS = 32  # levels closer than this are treated as one
_RIVAL = 0.6  # of the most frequent level's count: the second level could be the paper too
_RIM_FRAME = 0.8  # difference of the two levels' shares of the rim: the larger may be a frame
_SIDE_FILLED = 0.9  # of each side of its box is paper, if the picture shows a sheet on a surface
_SHEET_FILLED = 0.5  # of the box is paper; otherwise it is a frame drawn on paper


def find_levels(planes: Planes) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find even paper.

    Returns
    -------
    levels : (n,) float32
        The paper's grey level; `UNEVEN` if no level is frequent enough.
    sheets : (n, 4) int64
        Top, left, bottom, right of the paper (the last two exclusive); pixels outside are neither paper nor ink.
    """
    levels = np.empty(len(planes.sides), np.float32)
    sheets = np.zeros((len(planes.sides), 4), np.int64)
    sheets[:, 2:] = planes.sides
    _find_levels(planes, levels, sheets)
    return levels, sheets


@compiled
def _find_levels(planes: Planes, levels: NDArray[np.float32], sheets: NDArray[np.int64]) -> None:
    counts = np.empty(COUNTS, np.int32)
    for index in range(len(levels)):
        levels[index] = find_level(plane_of(planes, index), counts, sheets[index])


@compiled
def find_level(plane: NDArray[np.float32], counts: NDArray[np.int32], sheet: NDArray[np.int64]) -> np.float32:
    """Return the paper's level in one picture, and write the sheet; `counts` is memory for it, `COUNTS` of int32."""
    values = plane.reshape(-1)
    corner = values[0]
    same = 0
    for at in range(values.size):
        same += abs(values[at] - corner) <= 1
    if same >= _CERTAIN_SHARE * values.size:
        return np.float32(corner)
    return np.float32(_choose_level(plane, counts, sheet))


@compiled
def _choose_level(plane: NDArray[np.float32], lanes: NDArray[np.int32], sheet: NDArray[np.int64]) -> float:
    counts = _count_levels(plane.reshape(-1), lanes)
    first = _peak(counts, ZERO, ZERO)
    second = _peak(counts, first - _PEAK_LEVELS, first + _PEAK_LEVELS)
    most, other = _near(counts, first), _near(counts, second)
    if most < _EVEN_SHARE * plane.size:
        return UNEVEN
    if other < _EVEN_SHARE * plane.size:
        return float(first - 1)
    # Two levels are frequent: the one along the rim is the paper, unless it is a frame around a sheet of the other.
    rim = _rim_balance(plane, first - 1, second - 1)
    if abs(rim) >= _RIM_FRAME:
        outer, inner = (first - 1, second - 1) if rim > 0 else (second - 1, first - 1)
        if _find_sheet(plane, inner, outer, sheet):
            return float(inner)
    if other >= _RIVAL * most and rim < 0:
        return float(second - 1)
    return float(first - 1)


@compiled
def _count_levels(values: NDArray[np.float32], lanes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count the pixels of each level, at one more than the level; the result is the first of the lanes."""
    lanes[:, :] = 0
    whole = values.size // _LANES * _LANES
    for first in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane, int(values[first + lane] + np.float32(0.5)) + 1] += 1
    for at in range(whole, values.size):
        lanes[0, int(values[at] + np.float32(0.5)) + 1] += 1
    counts: NDArray[np.int32] = lanes[0]
    for lane in range(1, _LANES):
        for level in range(len(counts)):
            counts[level] += lanes[lane, level]
    return counts


@compiled
def _peak(counts: NDArray[np.int32], below: int, above: int) -> int:
    """Find the most frequent level outside the given span; all numbers are one more than the level."""
    most = np.int32(-1)
    for level in range(1, _LEVELS + 1):
        most = max(most, counts[level] if level <= below or level >= above else np.int32(-1))
    for level in range(1, _LEVELS + 1):
        if counts[level] == most and (level <= below or level >= above):
            return level
    return 0


@compiled
def _near(counts: NDArray[np.int32], level: int) -> int:
    return int(counts[level - 1] + counts[level] + counts[level + 1])


@compiled
def _rim_balance(plane: NDArray[np.float32], one: float, other: float) -> float:
    """Return the share of the rim that is nearer to the first level minus the share nearer to the second."""
    height, width = plane.shape
    middle = (one + other) / 2
    balance = 0
    count = 0
    for y in range(height):
        for x in range(0, width, 1 if y in (0, height - 1) else max(1, width - 1)):
            balance += 1 if (plane[y, x] > middle) == (one > middle) else -1
            count += 1
    return balance / count


@compiled
def _find_sheet(plane: NDArray[np.float32], inner: float, outer: float, sheet: NDArray[np.int64]) -> bool:
    """Find the box of the inner level; it is a sheet of paper if it fills the box and all four of its sides."""
    height, width = plane.shape
    rows, columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
    middle = (inner + outer) / 2
    for y in range(height):
        for x in range(width):
            is_inner = (plane[y, x] > middle) == (inner > outer)
            rows[y] += is_inner
            columns[x] += is_inner
    top, bottom = _extent(rows)
    left, right = _extent(columns)
    across, along = _SIDE_FILLED * (right - left), _SIDE_FILLED * (bottom - top)
    if min(rows[top], rows[bottom - 1]) < across or min(columns[left], columns[right - 1]) < along:
        return False
    filled = 0
    for y in range(height):
        filled += rows[y]
    if filled < _SHEET_FILLED * (bottom - top) * (right - left):
        return False
    sheet[0], sheet[1], sheet[2], sheet[3] = top, left, bottom, right
    return True


@compiled
def _extent(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first index that is not 0, and the index after the last; at least one is not 0."""
    first, last = 0, len(counts)
    while counts[first] == 0:
        first += 1
    while counts[last - 1] == 0:
        last -= 1
    return first, last
