"""Strokes of any size to the 28x28 digit, as MNIST's own digits were made.

size    the longer side of the box becomes 20 px, the other keeps its proportion
sample  shrinking averages areas, enlarging interpolates and then steepens the soft edges again
centre  the centre of mass comes to the middle

References
----------
.. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proc. IEEE 86 (11), 1998, section III-A: the 20 px box and the centre of mass.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.planes import Planes, plane_of

SIDE_PX = 28
BOX_PX = 20

_MIDDLE = 14.0  # of a digit's centre of mass, in pixel numbers: the mean over MNIST, to 0.01 px
_AS_IT_IS = 0.07  # a box that is 20 px up to so many parts is not sampled again: its edges would only blur
_TAPS = 4  # of the interpolation


def fit(strokes: Planes, boxes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Bring strokes into the digit's frame.

    Returns
    -------
    digits : (n, 28, 28) float32
        0 paper, 1 ink; blank where the box is empty.
    """
    digits = np.zeros((len(boxes), SIDE_PX, SIDE_PX), np.float32)
    _fit(strokes, boxes, digits)
    return digits


@compiled
def _fit(planes: Planes, boxes: NDArray[np.int64], digits: NDArray[np.float32]) -> None:
    for index in range(len(boxes)):
        top, left, bottom, right = boxes[index]
        if bottom == 0:
            continue
        strokes = plane_of(planes, index)
        middle_y, middle_x = _centre_of_mass(strokes)
        scale = BOX_PX / max(bottom - top, right - left)
        if abs(scale - 1) <= _AS_IT_IS:
            _shift(strokes, round(_MIDDLE - middle_y), round(_MIDDLE - middle_x), digits[index])
        else:
            _sample(strokes, scale, middle_y, middle_x, digits[index])


@compiled
def _centre_of_mass(strokes: NDArray[np.float32]) -> tuple[float, float]:
    mass = 0.0
    sum_y = 0.0
    sum_x = 0.0
    for y in range(strokes.shape[0]):
        row = 0.0
        for x in range(strokes.shape[1]):
            row += strokes[y, x]
            sum_x += strokes[y, x] * x
        mass += row
        sum_y += row * y
    return sum_y / mass, sum_x / mass


@compiled
def _shift(strokes: NDArray[np.float32], down: int, right: int, digit: NDArray[np.float32]) -> None:
    height, width = strokes.shape
    for y in range(max(0, -down), min(height, SIDE_PX - down)):
        for x in range(max(0, -right), min(width, SIDE_PX - right)):
            digit[y + down, x + right] = strokes[y, x]


@compiled
def _sample(
    strokes: NDArray[np.float32], scale: float, middle_y: float, middle_x: float, digit: NDArray[np.float32]
) -> None:
    height, width = strokes.shape
    rows, row_weights = _taps(height, scale, middle_y)
    columns, column_weights = _taps(width, scale, middle_x)
    narrow = np.zeros((height, SIDE_PX), np.float32)
    for y in range(height):
        for x in range(SIDE_PX):
            value = np.float32(0)
            for tap in range(columns[x, 1] - columns[x, 0]):
                value += column_weights[x, tap] * strokes[y, columns[x, 0] + tap]
            narrow[y, x] = value
    peak = np.float32(0)
    for y in range(SIDE_PX):
        for tap in range(rows[y, 1] - rows[y, 0]):
            weight = row_weights[y, tap]
            for x in range(SIDE_PX):
                digit[y, x] += weight * narrow[rows[y, 0] + tap, x]
        for x in range(SIDE_PX):
            peak = max(peak, digit[y, x])
    _stretch(digit, peak, max(1.0, scale))


@compiled
def _taps(side: int, scale: float, middle: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give, for each of the digit's rows (or columns), which of the plane's it is made of, and their weights."""
    reach = 1.0 if scale < 1 else 2.0  # half the kernel's width: a box when shrinking, a cubic when enlarging
    spans = np.zeros((SIDE_PX, 2), np.int64)
    weights = np.zeros((SIDE_PX, int(2 * reach / min(scale, 1.0)) + 3), np.float32)
    for out in range(SIDE_PX):
        at = (out - _MIDDLE) / scale + middle
        if scale < 1:
            low, high = at - 0.5 / scale, at + 0.5 / scale
        else:
            low, high = at - 2, at + 2
        first = max(0, math.ceil(low - 0.5))
        last = min(side, math.floor(high + 0.5) + 1)
        spans[out, 0], spans[out, 1] = first, max(first, last)
        for source in range(first, last):
            if scale < 1:
                overlap = min(high, source + 0.5) - max(low, source - 0.5)
                weights[out, source - first] = max(0.0, overlap) * scale
            else:
                weights[out, source - first] = _cubic(abs(source - at))
    return spans, weights


@compiled
def _cubic(distance: float) -> float:
    """Weigh a pixel at this distance, after Catmull and Rom."""
    if distance < 1:
        return 1 + distance * distance * (1.5 * distance - 2.5)
    if distance < 2:  # noqa: PLR2004  # the kernel's reach
        return 2 + distance * (-4 + distance * (2.5 - 0.5 * distance))
    return 0.0


@compiled
def _stretch(digit: NDArray[np.float32], peak: float, steepness: float) -> None:
    """Let full ink be 1 again and soft edges as steep as before enlarging."""
    gain = steepness / max(peak, 1e-6)
    offset = 0.5 * (1 - steepness)
    for y in range(SIDE_PX):
        for x in range(SIDE_PX):
            digit[y, x] = min(1.0, max(0.0, digit[y, x] * gain + offset))
