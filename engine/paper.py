"""Grey planes to ink planes: 0 where there is paper, 1 where there is full ink.

level     even paper: the most frequent grey level
surface   uneven paper: a smooth surface (up to second order) through all that is not ink
polarity  ink is the rarer side of it, and the further away
contrast  divide by the height of full ink; what lies within the paper's own noise becomes 0
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.planes import Planes, plane_of

FACTS = 4
"""Numbers about the paper of each picture: see `find_ink`."""

_LEVELS = 256
_EVEN_SHARE = 0.2  # of the pixels lie on one level (+-1): the paper is even and without noise
_PEAK_LEVELS = 32  # two levels nearer than this are one
_RIM_FRAME = 0.8  # of the rim more on one level than on the other: that level may be a frame
_SIDE_FILLED = 0.9  # of each side of its box is paper, if a sheet lies on something else
_SHEET_FILLED = 0.5  # of the box is paper: else it is a frame drawn on the paper
_RIVAL = 0.6  # times as frequent as the most frequent level: that could be the paper as well
_TERMS = 6  # of the surface: 1, u, v, uu, uv, vv
_SAMPLES_PER_SIDE = 24
_ROUNDS = 6
_TOP_PIXELS = 4  # of the highest pixels the last is certainly ink
_NOISY = 0.08  # of the contrast: noisier planes are smoothed
_NOISE_FLOOR = 2.0  # times the paper's standard deviation: below it nothing is ink


def find_ink(planes: Planes) -> tuple[Planes, NDArray[np.float32]]:
    """Tell ink from paper.

    Returns
    -------
    ink : Planes
        0 is paper, 1 is ink.
    facts : (n, 4) float32
        Of each picture: contrast (height of full ink over the paper, of 255), noise (the paper's standard deviation,
        of 255), unevenness (range of the paper's surface, of 255), polarity (1: bright ink, -1: dark ink).
    """
    ink = Planes(np.empty_like(planes.values), planes.starts, planes.sides)
    facts = np.zeros((len(planes.sides), FACTS), np.float32)
    _find_ink(planes, ink, facts)
    return ink, facts


@compiled
def _find_ink(planes: Planes, ink_planes: Planes, facts: NDArray[np.float32]) -> None:
    sheet = np.empty(4, np.int64)
    for index in range(len(planes.sides)):
        plane = plane_of(planes, index)
        ink = plane_of(ink_planes, index)
        height, width = plane.shape
        sheet[0], sheet[1], sheet[2], sheet[3] = 0, 0, height, width
        level = _even_level(plane, sheet)
        if level >= 0:
            ink[:, :] = 0
            for y in range(sheet[0], sheet[2]):
                for x in range(sheet[1], sheet[3]):
                    ink[y, x] = plane[y, x] - level
        else:
            facts[index, 2] = _subtract_surface(plane, ink) / 255
            _smooth(ink)
        facts[index, 3] = _turn_to_ink(ink)
        _scale(ink, facts[index])


@compiled
def _even_level(plane: NDArray[np.float32], sheet: NDArray[np.int64]) -> float:
    """Give the paper's level if the paper is even, else -1; narrow the sheet to it if all around is something else."""
    counts = np.zeros(_LEVELS + 2, np.int64)
    for value in plane.ravel():
        counts[int(value + np.float32(0.5)) + 1] += 1
    first = _peak(counts, 0, 0)
    second = _peak(counts, first - _PEAK_LEVELS, first + _PEAK_LEVELS)
    most, other = _near(counts, first), _near(counts, second)
    if most < _EVEN_SHARE * plane.size:
        return -1.0
    if other < _EVEN_SHARE * plane.size:
        return float(first - 1)
    # Two levels share the picture: paper is the one along the rim, unless that is a frame around a sheet of the other.
    rim = _rim_share(plane, first - 1, second - 1)
    if abs(rim) >= _RIM_FRAME:
        outer, inner = (first - 1, second - 1) if rim > 0 else (second - 1, first - 1)
        if _find_sheet(plane, inner, outer, sheet):
            return float(inner)
    if other >= _RIVAL * most and rim < 0:
        return float(second - 1)
    return float(first - 1)


@compiled
def _find_sheet(plane: NDArray[np.float32], inner: float, outer: float, sheet: NDArray[np.int64]) -> bool:
    """Enclose what is nearer to the inner level: a sheet of paper, if it fills its box and all four sides of it."""
    is_inner = (plane > (inner + outer) / 2) == (inner > outer)
    rows, columns = np.zeros(plane.shape[0], np.int64), np.zeros(plane.shape[1], np.int64)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            rows[y] += is_inner[y, x]
            columns[x] += is_inner[y, x]
    filled_rows, filled_columns = np.flatnonzero(rows), np.flatnonzero(columns)
    top, bottom = filled_rows[0], filled_rows[-1] + 1
    left, right = filled_columns[0], filled_columns[-1] + 1
    across, along = _SIDE_FILLED * (right - left), _SIDE_FILLED * (bottom - top)
    if min(rows[top], rows[bottom - 1]) < across or min(columns[left], columns[right - 1]) < along:
        return False
    if rows.sum() < _SHEET_FILLED * (bottom - top) * (right - left):
        return False
    sheet[0], sheet[1], sheet[2], sheet[3] = top, left, bottom, right
    return True


@compiled
def _peak(counts: NDArray[np.int64], below: int, above: int) -> int:
    """Find the most frequent level outside the given span."""
    best = 0
    for level in range(1, _LEVELS + 1):
        if not below < level < above and (best == 0 or counts[level] > counts[best]):
            best = level
    return best


@compiled
def _near(counts: NDArray[np.int64], level: int) -> int:
    return int(counts[level - 1] + counts[level] + counts[level + 1])


@compiled
def _rim_share(plane: NDArray[np.float32], one: float, other: float) -> float:
    """Give the part of the rim that is nearer to one level, less the part that is nearer to the other."""
    height, width = plane.shape
    middle = (one + other) / 2
    balance = 0
    count = 0
    for y in range(height):
        for x in range(0, width, 1 if y in (0, height - 1) else width - 1):
            balance += 1 if (plane[y, x] > middle) == (one > middle) else -1
            count += 1
    return balance / count


@compiled
def _subtract_surface(plane: NDArray[np.float32], rest: NDArray[np.float32]) -> float:
    """Fit a surface by least squares, over and over, with ever less say for what lies far from it (Welsch weights)."""
    height, width = plane.shape
    step = max(1, max(height, width) // _SAMPLES_PER_SIDE)
    half_y, half_x = max(1.0, (height - 1) / 2), max(1.0, (width - 1) / 2)
    rows, columns = (height + step - 1) // step, (width + step - 1) // step
    basis = np.empty((rows * columns, _TERMS))
    target = np.empty(rows * columns)
    at = 0
    for y in range(0, height, step):
        for x in range(0, width, step):
            v, u = y / half_y - 1, x / half_x - 1
            basis[at, 0], basis[at, 1], basis[at, 2] = 1.0, u, v
            basis[at, 3], basis[at, 4], basis[at, 5] = u * u, u * v, v * v
            target[at] = plane[y, x]
            at += 1
    surface = _fit(basis, target)
    low, high = math.inf, -math.inf
    for y in range(height):
        v = y / half_y - 1
        for x in range(width):
            u = x / half_x - 1
            paper = surface[0] + u * (surface[1] + u * surface[3] + v * surface[4]) + v * (surface[2] + v * surface[5])
            low, high = min(low, paper), max(high, paper)
            rest[y, x] = plane[y, x] - paper
    return high - low


@compiled
def _fit(basis: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    surface = np.zeros(_TERMS)
    surface[0] = np.median(target)
    rest = np.empty(len(target))
    normal = np.empty((_TERMS, _TERMS + 1))
    for turn in range(_ROUNDS):
        for sample in range(len(target)):
            paper = 0.0
            for term in range(_TERMS):
                paper += basis[sample, term] * surface[term]
            rest[sample] = abs(target[sample] - paper)
        # The first rounds fit a plane only: a surface free to bend would bend into the digit.
        terms = 3 if turn < _ROUNDS // 2 else _TERMS
        width = max(1.0, 2.5 * np.median(rest))
        normal[:, :] = 0.0
        for sample in range(len(target)):
            weight = math.exp(-((rest[sample] / width) ** 2))
            for row in range(terms):
                weighted = weight * basis[sample, row]
                normal[row, _TERMS] += weighted * target[sample]
                for column in range(row, terms):
                    normal[row, column] += weighted * basis[sample, column]
        _solve(normal, terms, surface)
    return surface


@compiled
def _solve(normal: NDArray[np.float64], terms: int, solution: NDArray[np.float64]) -> None:
    """Solve symmetric normal equations (upper triangle, right side in the last column) by elimination."""
    for row in range(terms):
        normal[row, row] += 1e-6 * (1.0 + normal[0, 0])  # never singular, however few samples are paper
    for row in range(terms):
        for below in range(row + 1, terms):
            ratio = normal[row, below] / normal[row, row]
            for column in range(below, terms):
                normal[below, column] -= ratio * normal[row, column]
            normal[below, _TERMS] -= ratio * normal[row, _TERMS]
    for row in range(terms - 1, -1, -1):
        value = normal[row, _TERMS]
        for column in range(row + 1, terms):
            value -= normal[row, column] * solution[column]
        solution[row] = value / normal[row, row]


@compiled
def _smooth(rest: NDArray[np.float32]) -> None:
    """Blur, as often as needed (at most three times), until the noise is small beside the ink."""
    for _ in range(3):
        sizes = np.abs(rest)
        noise = 1.48 * np.median(sizes)  # the standard deviation, if more than half is paper
        if noise <= _NOISY * _full_height(sizes):
            return
        _blur(rest)


@compiled
def _blur(rest: NDArray[np.float32]) -> None:
    """Average with the neighbours, 1 2 1 along rows and columns; the rim is its own neighbour."""
    height, width = rest.shape
    half, quarter = np.float32(0.5), np.float32(0.25)
    for y in range(height):
        before = rest[y, 0]
        for x in range(width):
            here = rest[y, x]
            rest[y, x] = half * here + quarter * (before + rest[y, min(x + 1, width - 1)])
            before = here
    above = rest[0].copy()
    for y in range(height):
        below = rest[min(y + 1, height - 1)]
        for x in range(width):
            here = rest[y, x]
            rest[y, x] = half * here + quarter * (above[x] + below[x])
            above[x] = here


@compiled
def _turn_to_ink(rest: NDArray[np.float32]) -> float:
    """Make ink positive: the side with the larger cubes is rarer and further away."""
    skew = 0.0
    for value in rest.ravel():
        skew += float(value) * float(value) * float(value)
    if skew >= 0:
        return 1.0
    for y in range(rest.shape[0]):
        for x in range(rest.shape[1]):
            rest[y, x] = -rest[y, x]
    return -1.0


@compiled
def _scale(ink: NDArray[np.float32], facts: NDArray[np.float32]) -> None:
    """Bring full ink to 1, and to 0 what lies within the paper's noise."""
    full = _full_height(ink)
    facts[0] = full / 255
    if full < 1:
        ink[:, :] = 0
        return
    noise = _paper_noise(ink, 0.25 * full)
    facts[1] = noise / 255
    floor = np.float32(_NOISE_FLOOR * noise)
    gain = np.float32(1 / max(1.0, full - floor))
    for y in range(ink.shape[0]):
        for x in range(ink.shape[1]):
            ink[y, x] = min(np.float32(1), max(np.float32(0), (ink[y, x] - floor) * gain))


@compiled
def _paper_noise(ink: NDArray[np.float32], limit: float) -> float:
    """Give the paper's standard deviation, read from its far side, where there is no ink's soft edge."""
    squares = 0.0
    paper = 0
    for value in ink.ravel():
        if abs(value) < limit:
            paper += 1
            if value < 0:
                squares += value * value
    return math.sqrt(2 * squares / max(1, paper))


@compiled
def _full_height(ink: NDArray[np.float32]) -> float:
    """Give the height that three quarters of the ink reach, ink being what is over half of the highest pixels."""
    counts = np.zeros(_LEVELS * 2, np.int64)
    for value in ink.ravel():
        if value > 0:
            counts[min(int(value + np.float32(0.5)), _LEVELS * 2 - 1)] += 1
    top = _count_down(counts, _TOP_PIXELS)
    return float(_count_down(counts, max(1, int(0.25 * counts[top // 2 :].sum()))))


@compiled
def _count_down(counts: NDArray[np.int64], wanted: int) -> int:
    level = len(counts) - 1
    while level > 0 and wanted > counts[level]:
        wanted -= counts[level]
        level -= 1
    return level
