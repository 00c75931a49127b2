"""Finds out whether what was taken for paper is the ink of a digit that fills its picture.

In a picture cut to its digit, the ink reaches all four edges and leaves only corners, notches and holes to the paper.
The paper of any other picture reaches all four edges, too, but along most of the rim.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK
from engine.canvas.levelling import UNEVEN
from engine.canvas.planes import Planes, plane_of, unpacked
from engine.compiled import compiled

RIM_INK = 0.05
"""Of the rim's pixels are ink: the digit may fill the picture, or a shadow may lie on it."""

_GREY = (0.25, 0.75)
_SOFT = 0.3  # of the picture is neither ink nor paper: it is shade
_THIN_PX = 3  # thinner ink along the rim is what is left of a frame, not of the paper beside a digit
_LARGE_PX = 64  # twice as much in a larger picture
_RIM_WHOLE = 0.15  # of the rim is paper, at most,
_SURROUNDING = 0.35  # and this part of the picture is ink: it surrounds what was taken for paper
_RIM_PAPER = 0.6  # of the rim is paper, at least, unless the paper is the digit
SLIM = 2.2
"""Height to width of a picture: a 1 may cover most of its rim."""

_SLIM_PAPER = 0.5  # of a slim picture


def turn_filled(ink: Planes, levels: NDArray[np.float32], rims: NDArray[np.float32]) -> None:
    """Turn ink into paper and paper into ink, in place, where the digit fills its picture.

    Parameters
    ----------
    ink
        From `engine.canvas.ink.find_ink`.
    levels : (n,) float32
        From `engine.canvas.levelling.find_levels`: a slim picture of uneven paper may be blank.
    rims : (n,) float32
        From `measure_rims`.
    """
    for index in np.flatnonzero(rims > RIM_INK).tolist():
        plane = unpacked(ink, index)
        if _is_turned(plane, may_be_slim=bool(levels[index] != UNEVEN)):
            np.subtract(1, plane, out=plane)


def measure_rims(ink: Planes) -> NDArray[np.float32]:
    """Measure which part of each picture's rim is ink, (n,)."""
    rims = np.zeros(len(ink.sides), np.float32)
    _measure_rims(ink, rims)
    return rims


@compiled
def _measure_rims(planes: Planes, rims: NDArray[np.float32]) -> None:
    for index in range(len(rims)):
        rims[index] = measure_rim(plane_of(planes, index))


@compiled
def measure_rim(ink: NDArray[np.float32]) -> np.float32:
    """Measure which part of one picture's rim is ink."""
    height, width = ink.shape
    count = 0
    for x in range(width):
        count += (ink[0, x] > INK) + (ink[height - 1, x] > INK)
    for y in range(height):
        count += (ink[y, 0] > INK) + (ink[y, width - 1] > INK)
    return np.float32(count / (2 * (height + width)))


def _is_turned(ink: NDArray[np.float32], *, may_be_slim: bool) -> bool:
    if np.count_nonzero((ink > _GREY[0]) & (ink < _GREY[1])) > _SOFT * ink.size:
        return False
    side = _THIN_PX if max(ink.shape) < _LARGE_PX else 2 * _THIN_PX - 1
    mask = cv2.morphologyEx((ink > INK).astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    rim_paper = 1 - float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
    if rim_paper < _RIM_WHOLE and mask.mean() > _SURROUNDING:
        return True
    if _reaches_all_edges(mask) or not _reaches_all_edges(1 - mask):
        return False
    if rim_paper < _RIM_PAPER:
        return True
    height, width = ink.shape
    if not may_be_slim or height < SLIM * width or mask.mean() > _SLIM_PAPER:
        return False
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    left, top, across, down, _ = boxes[1:].T
    return bool(((left <= 0) | (top <= 0) | (left + across >= width) | (top + down >= height)).all())


def _reaches_all_edges(mask: NDArray[np.uint8]) -> bool:
    """Return whether one component touches all four edges."""
    height, width = mask.shape
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, across, down, _ = boxes[1:].T
    return bool(((left <= 1) & (top <= 1) & (left + across >= width - 1) & (top + down >= height - 1)).any())
