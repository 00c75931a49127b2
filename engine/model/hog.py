"""Computes 306 features of each digit, which describe the directions of its strokes.

upright   shear the digit to remove the mean slant of its strokes (deskewing by moments)
gradient  compute strength and direction of the change of ink at each pixel
pool      add up soft histograms of the directions around the nodes of two grids: 5x5 nodes 5 px apart, 3x3 nodes 9 px
normalise take the square root, then scale the numbers of each grid to length 1

The features of a digit do not depend on the other digits of the batch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.compiled import add_scaled, compiled

Floats = NDArray[np.float32]

SIDE_PX = 28
BINS = 9
FINE_NODES = 5
COARSE_NODES = 3
FINE_FEATURES = FINE_NODES * FINE_NODES * BINS
FEATURES = FINE_FEATURES + COARSE_NODES * COARSE_NODES * BINS

_OPEN_BINS = BINS + 1  # while adding up there is one more bin: bin 9 is added to bin 0 at the end
_NODES = FINE_NODES + COARSE_NODES  # as many as `add_scaled` adds to at once
_COLUMN = _OPEN_BINS * _NODES  # of each bin the numbers for all nodes, side by side
_MARGIN_PX = 32  # the most that a row is moved
_STEEPEST = 1.0  # shear in px per px: beyond 45 degrees the moments do not measure slant
_LANES = 32  # a row of pixels fills whole vector registers; beyond the digit is paper
_FAINT = np.float32(1e-6)  # squared gradients below this are not a stroke


def _pooling(nodes: int, spacing_px: float) -> Floats:
    """Weight each pixel (row) for each node (column) of one axis: 1 at the node, falling to 0 at its neighbours."""
    centre = (SIDE_PX - 1) / 2
    at = centre + spacing_px * (np.arange(nodes) - (nodes - 1) / 2)
    distance = np.abs(np.arange(SIDE_PX)[:, None] - at[None, :])
    return np.maximum(0.0, 1.0 - distance / spacing_px).astype(np.float32)


_POOLING = np.concatenate([_pooling(FINE_NODES, 5.0), _pooling(COARSE_NODES, 9.0)], axis=1)


def _arctangent() -> Floats:
    """Fit an odd polynomial to the arctangent on 0..1, in fractions of a full circle."""
    ratio = np.cos(np.pi * (np.arange(200) + 0.5) / 400)  # Chebyshev nodes: the error spreads evenly
    powers = ratio[:, None] ** (2 * np.arange(6) + 1)
    return np.linalg.lstsq(powers, np.arctan(ratio) / (2 * np.pi))[0].astype(np.float32)


_ATAN = _arctangent()


def hog(digits: Floats) -> Floats:
    """Describe each digit by its signed gradients, after Dalal and Triggs (2005) [1]_.

    Parameters
    ----------
    digits : (n, 28, 28) float32
        0 is paper, 1 is ink; centred by mass; n may be 0.

    Returns
    -------
    features : (n, 306) float32
        25 + 9 nodes, column by column, of 9 bins; each grid has L2 norm 1, or 0 if the digit is blank.

    Raises
    ------
    ValueError
        If the shape or the dtype is different.

    Notes
    -----
    Where Dalal and Triggs normalise overlapping blocks of cells, here each whole grid is one block, after a square
    root (Hellinger mapping [3]_): a digit has one lighting. Directions are signed (0 to 360 degrees), since the sign
    says on which side of a stroke the paper is. The slant is removed, as is usual for digits [2]_.

    References
    ----------
    .. [1] N. Dalal, B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
    .. [2] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
       Proc. IEEE 86 (1998), section III.
    .. [3] R. Arandjelovic, A. Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    """
    if digits.shape != (len(digits), SIDE_PX, SIDE_PX) or digits.dtype != np.float32:
        raise ValueError(f"digits must be (n, {SIDE_PX}, {SIDE_PX}) float32, not {digits.shape} {digits.dtype}")
    features = np.zeros((len(digits), FEATURES), np.float32)
    _describe(np.ascontiguousarray(digits), features)
    return features


@compiled
def _describe(digits: Floats, features: Floats) -> None:
    """Fill `features` digit by digit. The buffers are allocated once; their margins stay 0."""
    line = np.zeros(_MARGIN_PX + SIDE_PX + _MARGIN_PX, np.float32)
    row_mass = np.zeros(SIDE_PX, np.float32)
    row_moment = np.zeros(SIDE_PX, np.float32)
    upright = np.zeros((SIDE_PX + 2) * _LANES, np.float32)
    low = np.zeros(SIDE_PX * _LANES, np.int32)
    to_low = np.zeros(SIDE_PX * _LANES, np.float32)
    to_high = np.zeros(SIDE_PX * _LANES, np.float32)
    columns = np.zeros(SIDE_PX * _COLUMN, np.float32)
    pooled = np.zeros(_NODES * _COLUMN, np.float32)
    for i in range(len(digits)):
        if _upright(digits[i], line, row_mass, row_moment, upright):
            _bin(upright, low, to_low, to_high)
            _pool_down(row_mass, low, to_low, to_high, columns)
            _pool_across(columns, pooled)
            _normalise(pooled, features[i])


@compiled
def _upright(digit: Floats, line: Floats, row_mass: Floats, row_moment: Floats, upright: Floats) -> bool:
    """Shear the digit into `upright`, centred between left and right; False if it is blank.

    `upright` has a row of paper above and below the digit, and paper to the right, which is also left of the next row.
    """
    mass = moment_x = moment_y = np.float32(0)
    for y in range(SIDE_PX):
        ink = moment = np.float32(0)
        for x in range(SIDE_PX):
            ink += digit[y, x]
            moment += digit[y, x] * np.float32(x)
        row_mass[y] = ink
        row_moment[y] = moment
        mass += ink
        moment_x += moment
        moment_y += ink * np.float32(y)
    if mass <= 0:
        return False
    centre_x, centre_y = moment_x / mass, moment_y / mass
    slanted = upwards = np.float32(0)
    for y in range(SIDE_PX):
        from_centre = np.float32(y) - centre_y
        slanted += from_centre * (row_moment[y] - centre_x * row_mass[y])
        upwards += from_centre * from_centre * row_mass[y]
    slope = slanted / upwards if upwards > 0 else np.float32(0)
    slope = min(max(slope, np.float32(-_STEEPEST)), np.float32(_STEEPEST))
    for y in range(SIDE_PX):
        target = upright[(y + 1) * _LANES : (y + 1) * _LANES + SIDE_PX]
        if row_mass[y] <= 0:
            target[:] = 0
            continue
        shift = slope * (np.float32(y) - centre_y) + centre_x - np.float32((SIDE_PX - 1) / 2)
        shift = min(max(shift, np.float32(1 - _MARGIN_PX)), np.float32(_MARGIN_PX - 1))
        whole = math.floor(shift)
        part = shift - np.float32(whole)
        inner = line[_MARGIN_PX : _MARGIN_PX + SIDE_PX]
        for x in range(SIDE_PX):
            inner[x] = digit[y, x]
        source = line[_MARGIN_PX + whole : _MARGIN_PX + whole + SIDE_PX + 1]
        for x in range(SIDE_PX):
            target[x] = (1 - part) * source[x] + part * source[x + 1]
    return True


@compiled
def _bin(upright: Floats, low: NDArray[np.int32], to_low: Floats, to_high: Floats) -> None:
    """Split each gradient between the bins `low` and `low + 1`, without branches so that it vectorises."""
    one = np.float32(1)
    # One loop over all rows starts only once. The indices of these slices are never negative, which needs no check.
    above, below = upright[: SIDE_PX * _LANES], upright[2 * _LANES :]
    left, beside = upright[_LANES - 1 :], upright[_LANES + 1 :]
    for pixel in range(SIDE_PX * _LANES):
        right = beside[pixel] - left[pixel]
        down = below[pixel] - above[pixel]
        strength = math.sqrt(right * right + down * down)
        wide, high = abs(right), abs(down)
        larger = max(wide, high)
        ratio = min(wide, high) / max(larger, _FAINT)
        square = ratio * ratio
        # arctangent on 0..1 in fractions of a circle, by a polynomial; the error is below 2e-6
        turn = ratio * (
            _ATAN[0]
            + square * (_ATAN[1] + square * (_ATAN[2] + square * (_ATAN[3] + square * (_ATAN[4] + square * _ATAN[5]))))
        )
        turn = np.float32(0.25) - turn if high > wide else turn
        turn = np.float32(0.5) - turn if right < 0 else turn
        turn = one - turn if down < 0 else turn
        turn *= np.float32(BINS)
        bin_ = min(np.int32(turn), np.int32(BINS - 1))
        share = strength * (turn - np.float32(bin_))
        low[pixel] = bin_
        to_high[pixel] = share
        to_low[pixel] = strength - share


@compiled
def _pool_down(row_mass: Floats, low: NDArray[np.int32], to_low: Floats, to_high: Floats, pooled: Floats) -> None:
    """Add each pixel's gradient, in its column, to the two nearest bins, at the nodes above and below it.

    Each bin has one number for each node, of which at most four have a weight: it takes less time to add to all of
    them at once than to four one after the other.
    """
    pooled[:] = 0
    for y in range(SIDE_PX):
        if row_mass[y] + row_mass[max(y - 1, 0)] + row_mass[min(y + 1, SIDE_PX - 1)] <= 0:
            continue  # no ink here, above or below: no gradient
        for x in range(SIDE_PX):
            pixel = y * _LANES + x
            at = x * _COLUMN + low[pixel] * _NODES
            add_scaled(pooled, at, _POOLING[y], to_low[pixel])
            add_scaled(pooled, at + _NODES, _POOLING[y], to_high[pixel])


@compiled
def _pool_across(columns: Floats, pooled: Floats) -> None:
    """Add each column to the nodes left and right of it."""
    pooled[:] = 0
    for x in range(SIDE_PX):
        for node in range(_NODES):
            weight = _POOLING[x, node]
            if weight > 0:
                for k in range(_COLUMN):
                    pooled[node * _COLUMN + k] += weight * columns[x * _COLUMN + k]


@compiled
def _normalise(pooled: Floats, features: Floats) -> None:
    """Add bin 9 to bin 0, then take the square root and scale each grid to length 1.

    After the root, the squared length of a grid is the sum of the values before it.
    """
    at = 0
    for first_node, last_node in ((0, FINE_NODES), (FINE_NODES, _NODES)):
        for across in range(first_node, last_node):
            for down in range(first_node, last_node):
                node = across * _COLUMN + down
                for k in range(BINS):
                    features[at + k] = pooled[node + k * _NODES]
                features[at] += pooled[node + BINS * _NODES]
                at += BINS
    for first, last in ((0, FINE_FEATURES), (FINE_FEATURES, FEATURES)):
        total = np.float32(0)
        for k in range(first, last):
            total += features[k]
        if total > 0:
            for k in range(first, last):
                features[k] = math.sqrt(features[k] / total)
