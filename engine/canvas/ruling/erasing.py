"""Erases lines that are not part of the writing: lines from edge to edge, frames, the dark edge of a scan.

frame  a large component has a line along at least three of its sides
band   one side of the picture is dark over its whole length
line   a thin run of ink at one edge of the picture continues straight to the opposite edge

The lines of a picture that was cropped to its digit are the digit's own: it is left as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK, Components
from engine.canvas.planes import Planes
from engine.canvas.ruling.across import erase_across
from engine.canvas.ruling.borders import FRAME_SIZE, erase_band, erase_frame
from engine.canvas.ruling.cropped import is_cropped_to_ink
from engine.canvas.ruling.runs import Floats, rotated
from engine.compiled import compiled

_SIDE_MIN_PX = 20  # in smaller pictures a stroke of the digit may reach both edges
_LEFT_OVER = 0.005  # of the picture must remain ink; otherwise the lines were the digit


def erase_lines(ink: Planes, components: Components) -> NDArray[np.float32]:
    """Erase lines, in place.

    Returns
    -------
    erased : (n,) float32
        Part of each picture's ink that was erased.
    """
    erased = np.zeros(len(ink.sides), np.float32)
    spanned = np.zeros(len(ink.sides), np.bool_)
    _find_spanned(ink.sides, components.boxes, components.starts, spanned)
    for index in np.flatnonzero(spanned):
        plane = ink.values[ink.starts[index] : ink.starts[index + 1]].reshape(ink.sides[index])
        cleared = _cleared(plane, components.boxes[components.starts[index] : components.starts[index + 1]])
        before, after = _mass(plane), _mass(cleared)
        if is_cropped_to_ink(plane, cleared, after / before):
            continue
        if after > _LEFT_OVER * plane.size:
            erased[index] = 1 - after / before
            plane[:] = cleared
    return erased


def _cleared(ink: Floats, parts: NDArray[np.int32]) -> Floats:
    cleared = ink.copy()
    sizes = parts[:, 2:] - parts[:, :2]
    for box in parts[(sizes > FRAME_SIZE * np.array(ink.shape)).all(axis=1)]:
        erase_frame(cleared, box)
    for _ in range(4):
        erase_band(cleared)
        erase_across(cleared)
        cleared = rotated(cleared)  # from all four sides
    return cleared


def _mass(ink: Floats) -> float:
    return float(ink[ink > INK].sum())


@compiled
def _find_spanned(
    sides: NDArray[np.int64], boxes: NDArray[np.int32], starts: NDArray[np.int64], spanned: NDArray[np.bool_]
) -> None:
    """Mark pictures that may have lines."""
    for index in range(len(spanned)):
        height, width = sides[index]
        spanned[index] = may_have_lines(height, width, boxes[starts[index] : starts[index + 1]])


@compiled
def may_have_lines(height: int, width: int, boxes: NDArray[np.int32]) -> bool:
    """Return whether a component of one picture reaches opposite edges or is large enough for a frame."""
    if min(height, width) < _SIDE_MIN_PX:
        return False
    for part in range(len(boxes)):
        top, left, bottom, right = boxes[part, 0], boxes[part, 1], boxes[part, 2], boxes[part, 3]
        across = left <= 1 and right >= width - 1
        along = top <= 1 and bottom >= height - 1
        if across or along or (bottom - top > FRAME_SIZE * height and right - left > FRAME_SIZE * width):
            return True
    return False
