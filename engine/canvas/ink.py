"""Turns the relief over the paper into ink: 0 is paper, 1 is full ink.

polarity  make ink positive: it is the side of the paper with fewer and larger deviations
smooth    blur noisy pictures until the noise is small in comparison with the ink
contrast  scale full ink to 1; values within the noise of the paper become 0
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.canvas.planes import Planes, plane_of
from engine.compiled import ZERO, compiled

HEIGHTS = 512  # of the relief in grey levels: the paper may reach beyond black and white
_TOP_PIXELS = 4  # this many of the highest pixels are assumed to be ink
_FULL_SHARE = 0.25  # of the pixels above half of that height reach the height of full ink
_NOISY = 0.08  # of the contrast: noisier reliefs are smoothed
_SMOOTHINGS = 3
_NOISE_FLOOR = 2.0  # times the paper's standard deviation: smaller values are not ink
_PAPER = 0.25  # of full ink: pixels nearer to the paper than that are paper


def find_ink(relief: Planes, levels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn a relief into ink, in place.

    Parameters
    ----------
    relief
        From `engine.canvas.background.remove_paper`; afterwards 0 is paper and 1 is ink.
    levels : (n,) float32
        From `engine.canvas.levelling.find_levels`: even paper is not smoothed.

    Returns
    -------
    contrast : (n,) float32
        Height of full ink over the paper, in grey levels.
    noise : (n,) float32
        Standard deviation of the paper, in grey levels, after smoothing.
    """
    contrast = np.zeros(len(relief.sides), np.float32)
    noise = np.zeros(len(relief.sides), np.float32)
    _find_ink(relief, levels, contrast, noise)
    return contrast, noise


@compiled
def _find_ink(
    reliefs: Planes, levels: NDArray[np.float32], contrast: NDArray[np.float32], noise: NDArray[np.float32]
) -> None:
    counts = np.empty(HEIGHTS, np.int32)
    for index in range(len(contrast)):
        contrast[index], noise[index] = turn_to_ink(plane_of(reliefs, index), levels[index], counts)


@compiled
def turn_to_ink(relief: NDArray[np.float32], level: np.float32, counts: NDArray[np.int32]) -> tuple[int, float]:
    """Turn one relief into ink, in place; return contrast and noise. `counts` is memory for it, `HEIGHTS` of int32."""
    values = relief.reshape(-1)
    _make_ink_positive(values)
    full, rough = _measure(values, counts)
    for _ in range(_SMOOTHINGS if level < 0 else 0):
        if rough > _NOISY * full:
            _blur(relief)
            full, rough = _measure(values, counts)
    floor = np.float32(_NOISE_FLOOR * rough)
    gain = 1 / max(np.float32(1), np.float32(full) - floor) if full >= 1 else np.float32(0)
    for at in range(values.size):
        values[at] = min(np.float32(1), max(np.float32(0), (values[at] - floor) * gain))
    return full, rough


@compiled
def _measure(values: NDArray[np.float32], counts: NDArray[np.int32]) -> tuple[int, float]:
    full = _full_height(values, counts)
    return full, _paper_noise(values, np.float32(_PAPER * full))


@compiled
def _blur(relief: NDArray[np.float32]) -> None:
    """Blur with the weights 1 2 1 along rows and columns; pixels at the rim are repeated."""
    height, width = relief.shape
    half, quarter = np.float32(0.5), np.float32(0.25)
    for y in range(height):
        before = relief[y, 0]
        for x in range(width):
            here = relief[y, x]
            relief[y, x] = half * here + quarter * (before + relief[y, min(x + 1, width - 1)])
            before = here
    above = np.empty(width, np.float32)
    for x in range(width):
        above[x] = relief[0, x]
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            here = relief[y, x]
            relief[y, x] = half * here + quarter * (above[x] + relief[below, x])
            above[x] = here


@compiled
def _make_ink_positive(values: NDArray[np.float32]) -> None:
    """Negate the relief if its third moment is negative, so that ink is positive."""
    skew = np.float32(0)
    for at in range(values.size):
        skew += values[at] * values[at] * values[at]
    if skew < 0:
        for at in range(values.size):
            values[at] = -values[at]


@compiled
def _full_height(values: NDArray[np.float32], counts: NDArray[np.int32]) -> int:
    """Return the height that a quarter of the ink reaches; ink is what exceeds half of the highest pixels."""
    counts[:] = 0
    highest = ZERO
    above = np.empty(values.size, np.float32)
    count = 0
    for at in range(values.size):  # without a branch, which a processor could not predict
        above[count] = values[at]
        count += values[at] > 0
    for at in range(count):
        height = min(int(above[at] + np.float32(0.5)), HEIGHTS - 1)
        counts[height] += 1
        highest = max(highest, height)
    counts = counts[: highest + 1]
    top = _count_down(counts, ZERO + _TOP_PIXELS)
    high = 0
    for height in range(top // 2, len(counts)):
        high += counts[height]
    return _count_down(counts, max(1, int(_FULL_SHARE * high)))


@compiled
def _count_down(counts: NDArray[np.int32], wanted: int) -> int:
    level = len(counts) - 1
    while level > 0 and wanted > counts[level]:
        wanted -= counts[level]
        level -= 1
    return level


@compiled
def _paper_noise(values: NDArray[np.float32], limit: np.float32) -> float:
    """Estimate the paper's standard deviation from the side without ink, where no soft edges disturb it."""
    squares = np.float32(0)
    paper = 0
    for at in range(values.size):
        below = min(np.float32(0), values[at])
        near = abs(values[at]) < limit
        paper += near
        squares += below * below if near else np.float32(0)
    return math.sqrt(2 * squares / max(1, paper))
