"""The run of ink with which each column of a picture begins: found, measured and erased."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK
from engine.compiled import compiled

Floats = NDArray[np.float32]


def rotated(ink: Floats) -> Floats:
    """Rotate by 90 degrees."""
    return np.ascontiguousarray(ink.T[::-1])


def first_runs(ink: Floats, reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the first run of each column that starts within `reach` rows; it is empty if there is none."""
    starts, ends = np.zeros(ink.shape[1], np.int64), np.zeros(ink.shape[1], np.int64)
    _find_runs(ink, reach, starts, ends)
    return starts, ends


@compiled
def _find_runs(ink: Floats, reach: int, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    for x in range(ink.shape[1]):
        for y in range(reach):
            if ink[y, x] > INK:
                starts[x], ends[x] = y, run_end(ink, y, x)
                break


@compiled
def run_end(ink: Floats, y: int, x: int) -> int:
    """Return the row after the run that starts here; this row if it has no ink."""
    while y < ink.shape[0] and ink[y, x] > INK:
        y += 1
    return y


def median(lengths: NDArray[np.int64]) -> float:
    """Return the median; `np.median` takes ten times as long for so few values."""
    in_order = np.sort(lengths)
    return float(in_order[(len(lengths) - 1) // 2] + in_order[len(lengths) // 2]) / 2


@compiled
def clear(ink: Floats, ends: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
    """Erase each column from its start to its end."""
    for x in range(ink.shape[1]):
        for y in range(starts[x], min(ends[x], ink.shape[0])):
            ink[y, x] = 0
