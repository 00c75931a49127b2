"""Distinguishes the lines of a page from the bar, foot or stem of a digit to which the picture was cropped."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK
from engine.canvas.ruling.across import LINE_SEEN
from engine.canvas.ruling.runs import Floats

_ONE_PIECE = 0.9  # of the ink: a digit that fills its picture
_CROSS_LEFT = 0.5  # of the ink besides two lines that cross: more is a digit of its own


def is_cropped_to_ink(ink: Floats, cleared: Floats, left_over: float) -> bool:
    """Return whether the lines are the bar, foot or stem of a digit to which the picture was cropped.

    Such a digit is one component that touches all four edges, with one line in each direction, or one along each of two
    opposite edges (a 2 or a 7 with two bars). Frames and squared paper have more lines; where a single rule crosses the
    digit, the digit touches no edge.
    """
    mask = (ink > INK).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, across, down, area = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())]
    height, width = ink.shape
    if left > 1 or top > 1 or left + across < width - 1 or top + down < height - 1 or area < _ONE_PIECE * mask.sum():
        return False
    erased = (mask > 0) & (cleared <= INK)
    level = _clusters(np.count_nonzero(erased, axis=1) >= LINE_SEEN * width)
    upright = _clusters(np.count_nonzero(erased, axis=0) >= LINE_SEEN * height)
    if level + upright == 0:
        return True
    if level == 1 and upright == 1:
        return left_over <= _CROSS_LEFT  # more is a digit on two rules that cross
    return level + upright == 1 or (level, upright) in ((2, 0), (0, 2))


def _clusters(lines: NDArray[np.bool_]) -> int:
    """Count the groups of adjacent rows."""
    return int(np.count_nonzero(lines[1:] & ~lines[:-1])) + int(lines[0])
