"""Reads pen tracks in the format of the Pen-Based Recognition of Handwritten Digits data set [1]_.

Each line is a digit: x and y of eight points at equal distances along the pen's way, 0 to 100 with y upwards, and the
label. Where the pen was lifted, the way continues in a straight line. So the digits that are written in two strokes
have a line too many, and only the others are kept.

References
----------
.. [1] E. Alpaydin, F. Alimoglu, "Pen-Based Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import DIGITS
from engine.training.data.labelled import DataError, read_compressed

PEN_TRACKS: Final = "pendigits-tra.csv.gz"
"""The file's name in the folder of other hands."""
ONE_STROKE: Final = (0, 1, 2, 3, 6, 8, 9)
"""The digits that are written without lifting the pen."""

_POINTS: Final = 8
_RANGE: Final = 100


class PenTracks(NamedTuple):
    """n pen tracks, in the order of their writers."""

    points: NDArray[np.float64]
    """(n, 8, 2): x and y from 0 to 1, y downwards."""
    labels: NDArray[np.int64]
    """(n,): one of `ONE_STROKE`."""

    def part(self, chosen: slice) -> PenTracks:
        """Select some of them."""
        return PenTracks(self.points[chosen], self.labels[chosen])


def read_pen_tracks(folder: Path) -> PenTracks:
    """Read the file `PEN_TRACKS` of a folder, without the digits that need two strokes.

    Parameters
    ----------
    folder
        Of other hands.

    Raises
    ------
    DataError
        If it cannot be read, or a line of it is no pen track.
    """
    path = folder / PEN_TRACKS
    lines = read_compressed(path).split()
    try:
        table = np.array([line.split(b",") for line in lines], np.int64).reshape(-1, 2 * _POINTS + 1)
    except ValueError as error:
        raise DataError(f"{path} must have {2 * _POINTS + 1} whole numbers in each line: {error}") from error
    coordinates, labels = table[:, :-1], table[:, -1]
    if not len(table) or not _within(coordinates, _RANGE) or not _within(labels, DIGITS - 1):
        raise DataError(f"{path} must have lines with coordinates of 0 to {_RANGE} and a label of 0 to {DIGITS - 1}")
    points = coordinates.reshape(-1, _POINTS, 2) / _RANGE
    points[:, :, 1] = 1 - points[:, :, 1]
    kept = np.isin(labels, ONE_STROKE)
    return PenTracks(points[kept], labels[kept])


def _within(values: NDArray[np.int64], largest: int) -> bool:
    return bool(((values >= 0) & (values <= largest)).all())
