"""Scales and centres strokes of any size into the 28x28 digit, as MNIST's digits were made.

size     scale the longer side of the box to 20 px and keep the proportions
shrink   large strokes: each pixel becomes the mean of the area that it covers
enlarge  small strokes: find a sharp picture that gives the original when it is shrunk again (back-projection)
centre   move the centre of mass to the middle

References
----------
.. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proc. IEEE 86 (11), 1998, section III-A: the 20 px box and the centre of mass.
.. [2] M. Irani, S. Peleg, "Improving resolution by image registration", CVGIP 53 (3), 1991: back-projection.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.canvas.planes import Planes, plane_of
from engine.compiled import compiled

SIDE_PX = 28
BOX_PX = 20

_MIDDLE = 14.0  # of a digit's centre of mass, in pixel numbers: the mean over MNIST, to 0.01 px
_SCALE_TOLERANCE = 0.07  # of 20 px: a box whose size is that close is not resampled, which would only blur it
_SOFT_PX = 2  # around the box: the soft edge of strokes
_BACK_PROJECTIONS = 12
_RELAXATION = np.float32(1.7)  # factor of the correction in each round; 2 or more would oscillate


def centre_digits(strokes: Planes, boxes: NDArray[np.int64], digits: NDArray[np.float32]) -> None:
    """Scale and centre strokes into digits.

    Parameters
    ----------
    strokes, boxes
        From `engine.canvas.strokes.keep_strokes`.
    digits : (n, 28, 28) float32
        Output: 0 paper, 1 ink. It must be 0 on entry, and stays 0 where the box is empty.
    """
    _fit(strokes, boxes, digits)


@compiled
def _fit(planes: Planes, boxes: NDArray[np.int64], digits: NDArray[np.float32]) -> None:
    for index in range(len(boxes)):
        if boxes[index, 2] > 0:
            fit(plane_of(planes, index), boxes[index], digits[index])


@compiled
def fit(plane: NDArray[np.float32], box: NDArray[np.int64], digit: NDArray[np.float32]) -> None:
    """Scale and centre the strokes of one picture, whose box is not empty, into its digit."""
    top, left, bottom, right = box
    soft = (
        max(0, top - _SOFT_PX),
        max(0, left - _SOFT_PX),
        min(bottom + _SOFT_PX, plane.shape[0]),
        min(right + _SOFT_PX, plane.shape[1]),
    )
    middle_y, middle_x = _centre_of_mass(plane, soft)
    scale = BOX_PX / max(bottom - top, right - left)
    if abs(scale - 1) <= _SCALE_TOLERANCE:
        # Whole px: a digit that is already centred is not changed.
        _shift(plane, soft, round(_MIDDLE - middle_y), round(_MIDDLE - middle_x), digit)
    elif scale < 1:
        _shrink(_cut_out(plane, soft), scale, middle_y, middle_x, digit)
    else:
        _enlarge(_cut_out(plane, soft), scale, middle_y, middle_x, digit)


@compiled
def _cut_out(plane: NDArray[np.float32], box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Copy a box of a plane."""
    top, left, bottom, right = box
    copy = np.empty((bottom - top, right - left), np.float32)
    for y in range(bottom - top):
        for x in range(right - left):
            copy[y, x] = plane[top + y, left + x]
    return copy


@compiled
def _centre_of_mass(plane: NDArray[np.float32], box: tuple[int, int, int, int]) -> tuple[float, float]:
    """Return the middle of the ink in a box of a plane, counted from the box's top and left."""
    top, left, bottom, right = box
    mass = 0.0
    sum_y = 0.0
    sum_x = 0.0
    for y in range(bottom - top):
        row, moment = np.float32(0), np.float32(0)
        pixels = plane[top + y, left:right]
        for x in range(len(pixels)):
            row += pixels[x]
            moment += pixels[x] * np.float32(x)
        mass += float(row)
        sum_y += float(row) * y
        sum_x += float(moment)
    return sum_y / mass, sum_x / mass


@compiled
def _shift(
    plane: NDArray[np.float32], box: tuple[int, int, int, int], down: int, right: int, digit: NDArray[np.float32]
) -> None:
    """Copy a box of a plane into the digit, moved by whole px."""
    above, beside = box[0] - down, box[1] - right  # of the digit's first pixel, in the plane
    first, last = max(0, right), min(box[3] - beside, SIDE_PX)
    for y in range(max(0, down), min(box[2] - above, SIDE_PX)):
        source, target = plane[above + y, beside + first : beside + last], digit[y, first:last]
        for x in range(len(target)):  # slices, whose indices are never negative, are copied many pixels at once
            target[x] = source[x]


@compiled
def _shrink(
    strokes: NDArray[np.float32], scale: float, middle_y: float, middle_x: float, digit: NDArray[np.float32]
) -> None:
    height, width = strokes.shape
    rows, columns = (
        _areas(len(digit), _MIDDLE, height, middle_y, 1 / scale),
        _areas(len(digit), _MIDDLE, width, middle_x, 1 / scale),
    )
    _resample(strokes, rows, columns, digit)
    peak = np.float32(1e-6)  # a thin stroke covers no pixel completely
    for y in range(SIDE_PX):
        for x in range(SIDE_PX):
            peak = max(peak, digit[y, x])
    for y in range(SIDE_PX):
        for x in range(SIDE_PX):
            digit[y, x] /= peak


@compiled
def _enlarge(
    strokes: NDArray[np.float32], scale: float, middle_y: float, middle_x: float, digit: NDArray[np.float32]
) -> None:
    height, width = strokes.shape
    rows, columns = _cubics(height, middle_y, scale), _cubics(width, middle_x, scale)
    seen_rows, seen_columns = (
        _areas(height, middle_y, len(digit), _MIDDLE, scale),
        _areas(width, middle_x, len(digit), _MIDDLE, scale),
    )
    missing = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            missing[y, x] = strokes[y, x]
    step = np.empty((SIDE_PX, SIDE_PX), np.float32)
    relaxation = np.float32(1)
    for _ in range(1 + _BACK_PROJECTIONS):
        _resample(missing, rows, columns, step)
        for y in range(SIDE_PX):
            for x in range(SIDE_PX):
                digit[y, x] = min(np.float32(1), max(np.float32(0), digit[y, x] + relaxation * step[y, x]))
        _resample(digit, seen_rows, seen_columns, missing)
        for y in range(height):
            for x in range(width):
                missing[y, x] = strokes[y, x] - missing[y, x]
        relaxation = _RELAXATION


@compiled
def _resample(
    source: NDArray[np.float32],
    rows: tuple[NDArray[np.int64], NDArray[np.float32]],
    columns: tuple[NDArray[np.int64], NDArray[np.float32]],
    target: NDArray[np.float32],
) -> None:
    """Set each pixel of the target to the weighted sum of a rectangle of the source."""
    (row_spans, row_weights), (column_spans, column_weights) = rows, columns
    height, width = target.shape
    narrow = np.empty((source.shape[0], width), np.float32)
    for y in range(source.shape[0]):
        for x in range(width):
            value = np.float32(0)
            for tap in range(column_spans[x, 1] - column_spans[x, 0]):
                value += column_weights[x, tap] * source[y, column_spans[x, 0] + tap]
            narrow[y, x] = value
    for y in range(height):
        target[y] = 0
        for tap in range(row_spans[y, 1] - row_spans[y, 0]):
            weight = row_weights[y, tap]
            row = narrow[row_spans[y, 0] + tap]
            for x in range(width):
                target[y, x] += weight * row[x]


@compiled
def _areas(
    count: int, middle: float, source_count: int, source_middle: float, size: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of `count` pixels, `size` source pixels wide, weight the source pixels by the shared area."""
    spans = np.zeros((count, 2), np.int64)
    weights = np.zeros((count, int(size) + 3), np.float32)
    for out in range(count):
        low = (out - middle - 0.5) * size + source_middle
        high = low + size
        first, last = max(0, math.floor(low + 0.5)), min(source_count, math.ceil(high + 0.5))
        spans[out, 0], spans[out, 1] = first, max(first, last)
        for source in range(first, last):
            overlap = min(high, source + 0.5) - max(low, source - 0.5)
            weights[out, source - first] = max(0.0, overlap) / size
    return spans, weights


@compiled
def _cubics(source_count: int, source_middle: float, scale: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel of the digit, weight the four source pixels around it by the Catmull-Rom spline."""
    spans = np.zeros((SIDE_PX, 2), np.int64)
    weights = np.zeros((SIDE_PX, 5), np.float32)
    for out in range(SIDE_PX):
        at = (out - _MIDDLE) / scale + source_middle
        first, last = max(0, math.floor(at) - 1), min(source_count, math.floor(at) + 3)
        spans[out, 0], spans[out, 1] = first, max(first, last)
        for source in range(first, last):
            away = abs(source - at)
            if away < 1:
                weights[out, source - first] = 1 + away * away * (1.5 * away - 2.5)
            else:
                weights[out, source - first] = max(-0.1, 2 + away * (-4 + away * (2.5 - 0.5 * away)))
    return spans, weights
