"""Subtracts the paper: the result is 0 on paper, and the further a value is from 0, the more certainly it is ink.

Even paper has one grey level. For uneven paper (shade, a lamp, a photograph) a surface of second order is fitted to the
pixels that are not ink, by iteratively reweighted least squares: samples far from the surface get a smaller weight in
each round. Shade makes ink fainter as well as paper, so the ink is then scaled by the light at its place.

References
----------
.. [1] P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares", Communications in
       Statistics A6 (9), 1977: the Cauchy weight, squared here so that ink gets almost no weight.
.. [2] C. A. R. Hoare, "Algorithm 65: FIND", Communications of the ACM 4 (7), 1961.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.canvas.planes import Planes, plane_of
from engine.compiled import compiled

_TERMS = 6  # of the surface: 1, u, v, uu, uv, vv, with u and v from -1 to 1 across and down the picture
_PLANE_TERMS = 3
_ROUNDS = 6
_PLANE_ROUNDS = 3  # the first rounds fit a plane: a curved surface would follow the digit
_SAMPLES = 16  # a side
_LIGHT_MAX = np.float32(3.0)  # the largest gain: a deeper shadow holds noise, not ink
_BRIGHT = 80.0  # grey levels over black
_HALF_LIT = 0.4
_FAR = 2.5  # times the median distance from the surface


def remove_paper(
    planes: Planes, levels: NDArray[np.float32], sheets: NDArray[np.int64]
) -> tuple[Planes, NDArray[np.float32]]:
    """Subtract the paper.

    Parameters
    ----------
    planes
        Grey pictures.
    levels : (n,) float32
    sheets : (n, 4) int64
        From `engine.canvas.levelling.find_levels`.

    Returns
    -------
    relief : Planes
        Grey levels above (or below) the paper; 0 outside the sheet.
    unevenness : (n,) float32
        Range of the paper's surface in grey levels; 0 for even paper.
    """
    relief = planes._replace(values=np.empty_like(planes.values))
    unevenness = np.zeros(len(levels), np.float32)
    _remove_paper((planes, relief), levels, sheets, unevenness)
    return relief, unevenness


@compiled
def _remove_paper(
    planes: tuple[Planes, Planes],
    levels: NDArray[np.float32],
    sheets: NDArray[np.int64],
    unevenness: NDArray[np.float32],
) -> None:
    for index in range(len(levels)):
        plane, relief = plane_of(planes[0], index), plane_of(planes[1], index)
        level = levels[index]
        if level < 0:
            unevenness[index] = _subtract_surface(plane, relief, planes[0].blacks[index])
            continue
        subtract_level(plane, relief, level, sheets[index])


@compiled
def subtract_level(
    plane: NDArray[np.float32], relief: NDArray[np.float32], level: np.float32, sheet: NDArray[np.int64]
) -> None:
    """Subtract even paper from one picture; all outside its sheet becomes 0."""
    values, heights = plane.reshape(-1), relief.reshape(-1)
    for at in range(values.size):
        heights[at] = values[at] - level
    top, left, bottom, right = sheet
    relief[:top], relief[bottom:] = 0, 0
    relief[:, :left], relief[:, right:] = 0, 0


@compiled
def _subtract_surface(plane: NDArray[np.float32], relief: NDArray[np.float32], black: float) -> float:
    height, width = plane.shape
    across, down = _axis(width), _axis(height)
    surface, unevenness = _fit(*_sample(plane, across, down))
    skew = np.float32(0)
    for y in range(height):
        constant, linear, square = _row(surface, down[y])
        for x in range(width):
            above = plane[y, x] - (constant + across[x] * (linear + across[x] * square))
            relief[y, x] = above
            skew += above * above * above
    surface[0] -= black  # from here on the surface is the light that the paper reflects
    _even_out(relief, surface, (across, down), float(skew))
    return unevenness


@compiled
def _axis(count: int) -> NDArray[np.float32]:
    """Return `count` evenly spaced coordinates from -1 to 1."""
    places = np.empty(count, np.float32)
    step = 2.0 / max(1, count - 1)
    for at in range(count):
        places[at] = -1.0 + at * step
    return places


@compiled
def _sample(
    plane: NDArray[np.float32], across: NDArray[np.float32], down: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the terms of the surface and the values of the plane at the points of a regular grid."""
    height, width = plane.shape
    step = -(-max(height, width) // _SAMPLES)
    basis = np.empty((-(-height // step) * -(-width // step), _TERMS))
    target = np.empty(len(basis))
    at = 0
    for y in range(min(step // 2, height - 1), height, step):
        for x in range(min(step // 2, width - 1), width, step):
            u, v = across[x], down[y]
            basis[at, 0], basis[at, 1], basis[at, 2] = 1, u, v
            basis[at, 3], basis[at, 4], basis[at, 5] = u * u, u * v, v * v
            target[at] = plane[y, x]
            at += 1
    return basis[:at], target[:at]


@compiled
def _row(surface: NDArray[np.float64], v: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    """Return the surface along a row as constant, linear and square term."""
    constant = surface[0] + v * (surface[2] + v * surface[5])
    return np.float32(constant), np.float32(surface[1] + v * surface[4]), np.float32(surface[3])


@compiled
def _even_out(
    relief: NDArray[np.float32],
    light: NDArray[np.float64],
    axes: tuple[NDArray[np.float32], NDArray[np.float32]],
    skew: float,
) -> None:
    """Scale ink in the shade to the contrast that it would have in the brightest light of the picture."""
    across, down = axes
    least, most = _extremes(light, across, down)
    # Ink darker than its paper always fades in the shade. For brighter ink it is unknown whether the shade falls on the
    # ink too; it is assumed if the paper is bright, because then its light can be measured well.
    absorbs = (skew < 0) == (most > 0)
    if least * most <= 0 or (not absorbs and (abs(most) < _BRIGHT or abs(least) < _HALF_LIT * abs(most))):
        return
    for y in range(relief.shape[0]):
        constant, linear, square = _row(light, down[y])
        for x in range(relief.shape[1]):
            here = constant + across[x] * (linear + across[x] * square)
            relief[y, x] *= min(_LIGHT_MAX, np.float32(most) / here)


@compiled
def _extremes(
    surface: NDArray[np.float64], across: NDArray[np.float32], down: NDArray[np.float32]
) -> tuple[float, float]:
    """Return the surface's values nearest to and furthest from 0, at the corners, edge centres and middle."""
    least, most = math.inf, 0.0
    for v in (down[0], down[len(down) // 2], down[-1]):
        constant, linear, square = _row(surface, v)
        for u in (across[0], across[len(across) // 2], across[-1]):
            value = float(constant + u * (linear + u * square))
            least = value if abs(value) < abs(least) else least
            most = value if abs(value) > abs(most) else most
    return least, most


@compiled
def _fit(basis: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Fit the surface; return it and the range of its values at the samples."""
    surface = np.zeros(_TERMS)
    paper, away = np.empty(len(target)), np.empty(len(target))
    for sample in range(len(target)):
        away[sample] = target[sample]
    surface[0] = _median(away)
    for sample in range(len(target)):
        paper[sample] = surface[0]
    normal = np.empty((_TERMS, _TERMS + 1))
    for turn in range(_ROUNDS):
        terms = _PLANE_TERMS if turn < _PLANE_ROUNDS else _TERMS
        for sample in range(len(target)):
            away[sample] = abs(target[sample] - paper[sample])
        far = max(1.0, _FAR * _median(away))
        normal[:, :] = 0
        for sample in range(len(target)):
            off = (target[sample] - paper[sample]) / far
            weight = 1 / ((1 + off * off) * (1 + off * off))
            for row in range(terms):
                weighted = weight * basis[sample, row]
                normal[row, _TERMS] += weighted * target[sample]
                for column in range(row, terms):
                    normal[row, column] += weighted * basis[sample, column]
        _solve(normal, terms, surface)
        for sample in range(len(target)):
            paper[sample] = 0
            for term in range(terms):
                paper[sample] += basis[sample, term] * surface[term]
    return surface, _range(paper)


@compiled
def _range(values: NDArray[np.float64]) -> float:
    least = most = values[0]
    for value in values:
        least, most = min(least, value), max(most, value)
    return float(most - least)


@compiled
def _median(values: NDArray[np.float64]) -> float:
    """Return the median by Hoare's FIND [2]_, which reorders the values."""
    middle = len(values) // 2
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[middle]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while pivot < values[right]:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        low, high = left if right < middle else low, right if middle < left else high
    if len(values) % 2 == 1:
        return float(values[middle])
    below = values[0]
    for at in range(1, middle):
        below = max(below, values[at])
    return float((below + values[middle]) / 2)


@compiled
def _solve(normal: NDArray[np.float64], terms: int, solution: NDArray[np.float64]) -> None:
    """Solve symmetric normal equations (upper triangle, right side in the last column) by elimination."""
    # np.linalg.solve takes 1.7 µs for these six equations in compiled code, this loop 0.1 µs; compiling the former also
    # needs SciPy and 8 s more.
    for row in range(terms):
        normal[row, row] += 1e-6 * (1 + normal[0, 0])  # keeps the matrix regular, even with few samples of paper
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
