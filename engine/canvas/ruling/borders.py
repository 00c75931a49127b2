"""Erases what runs along the sides of a picture: frames, and the dark edge of a scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.canvas.ruling.runs import Floats, clear, first_runs, median, rotated

FRAME_SIZE = 0.72
"""Of the picture's sides is a frame, at least; MNIST's digits have 20 of 28 px."""

_FRAME_SIDES = 3  # the fourth may be cut off
_FRAME_SEEN = 0.75  # of a side
_FRAME_THICK = 0.2  # of the frame's size, at most
_FRAME_ASKEW = 0.06  # of the frame's size
_FRAME_ROUGH = 1.5  # times as thick: a stroke crosses

_BAND_THICK = 0.3  # of the picture's side, at most
_BAND_EVEN = 0.85  # of a band's length has the same thickness, up to 1 px


def erase_frame(ink: Floats, box: NDArray[np.int32]) -> None:
    """Erase the lines along the sides of a component, if at least three sides have one."""
    top, left, bottom, right = (int(edge) for edge in box)
    inner = ink[top:bottom, left:right]
    sides = 0
    for _ in range(4):
        inner = rotated(inner)
        sides += _side_thickness(inner, *first_runs(inner, _reach(inner))) > 0
    if sides < _FRAME_SIDES:
        return
    for _ in range(4):
        inner = rotated(inner)
        starts, ends = first_runs(inner, _reach(inner))
        thickness = _side_thickness(inner, starts, ends)
        clear(inner, np.where((starts < ends) & (ends <= starts + _FRAME_ROUGH * thickness + 1), ends + 1, 0), starts)
    ink[top:bottom, left:right] = inner


def _side_thickness(ink: Floats, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> float:
    """Return the thickness of the line along the top, or -1 if there is none."""
    thickness = median(ends - starts)
    seen = np.count_nonzero(ends > starts)
    return thickness if seen >= _FRAME_SEEN * ink.shape[1] and thickness < _FRAME_THICK * ink.shape[0] else -1.0


def _reach(ink: Floats) -> int:
    """Return the most rows between a frame and the edge."""
    return max(2, int(_FRAME_ASKEW * len(ink)))


def erase_band(ink: Floats) -> None:
    """Erase the dark band along the top, if there is one."""
    height, width = ink.shape
    _, ends = first_runs(ink, 1)
    if 2 * np.count_nonzero(ends) < width:  # most columns have no run at the edge
        return
    thickness = median(ends)
    if not 0 < thickness <= _BAND_THICK * height or (np.abs(ends - thickness) <= 1).mean() < _BAND_EVEN:
        return
    clear(ink, np.where(ends <= thickness + 1, ends + 1, 0), np.zeros_like(ends))
