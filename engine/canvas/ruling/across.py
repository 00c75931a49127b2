"""Erases thin lines that run from edge to edge, and keeps the strokes that cross them.

The run of the line is erased column by column, but only where it is not thicker or darker than the rest of the line:
elsewhere a stroke crosses it and is kept [1]_.

References
----------
.. [1] C. Dalitz, M. Droettboom, B. Pranzas, I. Fujinaga, "A comparative study of staff removal algorithms", IEEE
       Transactions on Pattern Analysis and Machine Intelligence 30 (5), 2008: line tracking, section 3.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK
from engine.canvas.ruling.runs import Floats, run_end
from engine.compiled import ZERO, compiled

LINE_SEEN = 0.25
"""Of the width in which a line must be visible without a stroke."""

_LINE_THICK = 0.08  # of the picture's side, at most
_LINE_STEEP = 0.15  # px per px
_LINE_LEVEL = 0.01  # px per px: below this a line is level
_LINE_DARKER = 0.25  # darker than the line: a stroke crosses
_LINE_GAPS = 0.08  # of the width in which the line may be missing


@compiled
def erase_across(ink: Floats) -> None:
    """Follow each thin run from the left to the right edge, and erase it where no stroke crosses."""
    height, width = ink.shape
    thick = max(2, int(_LINE_THICK * height))
    found = np.zeros((width, 2), np.int64)
    y = ZERO
    while y < height:
        end = run_end(ink, y, ZERO)
        if 0 < end - y <= thick and _follow(ink, y, end, found):
            for x in range(width):
                if found[x, 1] > 0:
                    ink[max(0, found[x, 0] - 1) : found[x, 1] + 1, x] = 0
        y = end + 1


@compiled
def _follow(ink: Floats, top: int, bottom: int, found: NDArray[np.int64]) -> bool:
    """Follow a line from its run in column 0; fill `found` with its run in each column where nothing crosses it.

    Returns
    -------
    is_line : bool
        False if it ends before the right edge, or strokes cover most of it.
    """
    height, width = ink.shape
    found[:, :] = 0
    at = (top + bottom - 1) / 2
    thickness = float(bottom - top)
    level = _mean(ink, top, bottom, ZERO)
    slope = 0.0
    hits = 0
    gaps = 0
    for x in range(width):
        row = round(at)
        if not 0 <= row < height:
            return bool(hits >= LINE_SEEN * width)
        row = _nearest_ink(ink, row, x)
        if row < 0:
            gaps += 1
        else:
            top = row
            while top > 0 and ink[top - 1, x] > INK:
                top -= 1
            bottom = run_end(ink, row, x)
            here = _mean(ink, top, bottom, x)
            # A slightly sloped line is 1 px thicker where it steps to the next row.
            rough = 1 if abs(slope) > _LINE_LEVEL else 0
            if bottom - top <= math.ceil(thickness) + rough and here <= level + _LINE_DARKER:
                found[x, 0], found[x, 1] = top, bottom
                hits += 1
                thickness += (bottom - top - thickness) / hits
                level += (here - level) / hits
                off = (top + bottom - 1) / 2 - at
                slope = min(_LINE_STEEP, max(-_LINE_STEEP, slope + 0.05 * off))
                at += 0.4 * off
        at += slope
    return bool(found[width - 1, 1] > 0 and hits >= LINE_SEEN * width and gaps <= _LINE_GAPS * width)


@compiled
def _nearest_ink(ink: Floats, row: int, x: int) -> int:
    """Return this row or a neighbouring one that has ink; -1 if none has."""
    for near in (row, row - 1, row + 1):
        if 0 <= near < ink.shape[0] and ink[near, x] > INK:
            return near
    return -1


@compiled
def _mean(ink: Floats, top: int, bottom: int, x: int) -> float:
    """Return the mean ink of a run."""
    total = np.float32(0)
    for y in range(top, bottom):
        total += ink[y, x]
    return float(total) / (bottom - top)
