"""Lines of a pen as points: curves through points, arcs, and strokes joined at corners.

x runs to the right, y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 2): x and y."""

_STEPS = 8  # points from one given point to the next


def line(*corners: tuple[float, float]) -> Points:
    """Join corners by straight lines."""
    given = np.array(corners)
    share = np.linspace(0, 1, _STEPS, endpoint=False)[:, None]
    sides = [a + share * (b - a) for a, b in pairwise(given)]
    return np.concatenate([*sides, given[-1:]])


def curve(*through: tuple[float, float]) -> Points:
    """Join points, two at least, by a smooth curve."""
    return smooth(np.array(through))


def smooth(given: Points) -> Points:
    """Return a curve through all given points [1]_.

    Parameters
    ----------
    given
        (n, 2), n at least two: x and y of each point.

    References
    ----------
    .. [1] E. Catmull, R. Rom, "A Class of Local Interpolating Splines", Computer Aided Geometric Design, 1974.
    """
    # The curve leaves its first point, and reaches its last, as if it went on with the same bend.
    first, last = 2 * given[0] - given[1], 2 * given[-1] - given[-2]
    padded = np.concatenate([first[None], given, last[None]])
    t = np.linspace(0, 1, _STEPS, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d))))
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate([*pieces, given[-1:]])


def arc(centre: tuple[float, float], radii: tuple[float, float], start: float, end: float) -> Points:
    """Follow an ellipse.

    Parameters
    ----------
    centre, radii
        x and y.
    start, end
        Degrees: 0 is right, 90 is down, 180 is left, 270 is up; a smaller `end` runs the other way round.
    """
    steps = max(3, round(abs(end - start) / 15))
    angles = np.deg2rad(np.linspace(start, end, steps + 1))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def joined(*pieces: Points) -> Points:
    """Draw pieces without lifting the pen: a corner, or a straight line, leads from each to the next."""
    return np.concatenate(pieces)


def box(strokes: Sequence[Points]) -> tuple[Points, Points]:
    """Return the upper left and the lower right corner of all strokes."""
    points = np.concatenate(strokes)
    return points.min(axis=0), points.max(axis=0)


def resampled(stroke: Points, count: int) -> Points:
    """Return `count` points at equal distances along a stroke."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    at = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, stroke[:, axis]) for axis in (0, 1)], axis=1)
