"""Looks again at doubtful digits: turned a little to both sides, and judged by the mean of the scores.

A digit near the border between two digits lies on one side of it by chance. The mean over three views of it depends
less on chance [1]_. Digits that are read without doubt, nearly all, cost nothing more.

References
----------
.. [1] A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
   2012, section 4.1: the mean of the predictions over several views of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from engine.compiled import compiled
from engine.model.hog import SIDE_PX
from engine.model.reject_head import highest
from engine.model.svm import Floats

TURN_DEGREES: Final = 8.0
"""One standard deviation of the turns that `engine.training.data.augmentation` makes."""

_DOUBT: Final = 3.0  # between the two highest scores: e to this, or 20 times, is the first likelier than the second
_MIDDLE = np.float32((SIDE_PX - 1) / 2)


def look_again(judge: Callable[[Floats], Floats], digits: Floats, scores: Floats) -> Floats:
    """Return the scores with those of doubtful digits replaced by the mean over three views of them.

    Parameters
    ----------
    judge
        Computes the scores of digits: it has computed those of these.
    digits : (n, 28, 28) float32
        0 is paper, 1 is ink.
    scores : (n, 10) float32
        Of the digits as they are.

    Returns
    -------
    scores : (n, 10) float32
        Those of a digit do not depend on the other digits.
    """
    first, second, _ = highest(scores).T
    doubtful = np.flatnonzero(first - second < _DOUBT)
    # Without a doubtful digit, too, so that a warm worker has compiled the loop.
    views = [turned(digits[doubtful], degrees) for degrees in (-TURN_DEGREES, TURN_DEGREES)]
    if len(doubtful) == 0:
        return scores
    left, right = (judge(view) for view in views)
    means = scores.copy()
    means[doubtful] = (scores[doubtful] + left + right) / np.float32(3)
    return means


def turned(digits: Floats, degrees: float) -> Floats:
    """Turn digits (n, 28, 28) around the middle, clockwise if `degrees` is above 0."""
    angle = math.radians(degrees)
    copies = np.empty_like(digits)
    _turn(digits, np.float32(math.cos(angle)), np.float32(math.sin(angle)), copies)
    return copies


@compiled
def _turn(digits: Floats, cosine: np.float32, sine: np.float32, copies: Floats) -> None:
    for i in range(len(digits)):
        for y in range(SIDE_PX):
            for x in range(SIDE_PX):
                right, down = np.float32(x) - _MIDDLE, np.float32(y) - _MIDDLE
                from_x = cosine * right + sine * down + _MIDDLE
                from_y = cosine * down - sine * right + _MIDDLE
                copies[i, y, x] = interpolate(digits[i], from_x, from_y)


@compiled
def interpolate(digit: Floats, x: np.float32, y: np.float32) -> np.float32:
    """Interpolate the digit (28, 28) bilinearly at a position in px; outside it is paper."""
    left, top = math.floor(x), math.floor(y)
    ink = np.float32(0)
    if left < -1 or top < -1 or left >= SIDE_PX or top >= SIDE_PX:
        return ink
    part_x, part_y = np.float32(x - left), np.float32(y - top)
    for below in range(2):
        for beside in range(2):
            row, column = top + below, left + beside
            if 0 <= row < SIDE_PX and 0 <= column < SIDE_PX:
                weight_y = part_y if below else 1 - part_y
                weight_x = part_x if beside else 1 - part_x
                ink += weight_y * weight_x * digit[row, column]
    return ink
