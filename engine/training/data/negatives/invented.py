"""Invented characters: strokes put together as scripts of many strokes do, but in no script.

training  level, upright and slanting strokes, corners and boxes on a grid, as in Chinese characters; three or four
          arcs anywhere, a straight stroke, and dots
testing   curves, loops and dots that hang from a line or stand on one, as in Indic scripts

Each has several strokes that cross or lie apart, so that only few of them resemble a digit.
"""

from __future__ import annotations

import numpy as np

from engine.training.curves import Points, arc, smooth
from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.pen.strokes import pen, pen_px
from engine.training.data.negatives.split import Split

_SIDE_PX = 96
_PEN_MAX_PX = 14  # a wider one fills what lies between the strokes
_UNSTEADY = 0.02
_HALF = 0.5


def invented(split: Split, rng: np.random.Generator) -> Ink:
    """Write one invented character, 0 paper, 1 ink."""
    learned = _on_grid if rng.random() < _HALF else _in_arcs
    tracks = (learned if split == "train" else _on_line)(rng)
    squeeze = np.array([np.exp(rng.normal(0, 0.15)), 1.0])
    unsteady = [(track + rng.normal(0, _UNSTEADY, track.shape)) * squeeze * _SIDE_PX for track in tracks]
    return pen(unsteady, min(_PEN_MAX_PX, pen_px(rng, _SIDE_PX)))


def _on_grid(rng: np.random.Generator) -> list[Points]:
    """Draw four to nine strokes between the lines of a grid."""
    return [_stroke(rng) for _ in range(int(rng.integers(4, 10)))]


def _stroke(rng: np.random.Generator) -> Points:
    x, y, u, v = (float(value) for value in rng.integers(0, 5, 4) / 4)
    low, high = min(x, u), max(x, u) + 0.25
    kind = int(rng.integers(5))
    if kind == 0:  # level
        return np.array([[low, y], [high, y]])
    if kind == 1:  # upright
        return np.array([[x, min(y, v)], [x, max(y, v) + 0.25]])
    if kind == 2:  # noqa: PLR2004  # slanting, a little bent
        middle = np.array([(x + u) / 2 + 0.08, (y + v) / 2])
        return smooth(np.array([[x, y], middle, [u, v + 0.2]]))
    if kind == 3:  # noqa: PLR2004  # a corner
        return np.array([[low, y], [high, y], [high, y + 0.5]])
    return np.array([[low, y], [high, y], [high, y + 0.4], [low, y + 0.4], [low, y]])


def _in_arcs(rng: np.random.Generator) -> list[Points]:
    """Draw three or four arcs, a straight stroke, and up to three dots."""
    tracks = [rng.uniform(0, 1, (2, 2))]
    for _ in range(int(rng.integers(3, 5))):
        middle, radii, start = rng.uniform(0.1, 0.9, 2), rng.uniform(0.12, 0.4, 2), rng.uniform(0, 360)
        tracks.append(arc((middle[0], middle[1]), (radii[0], radii[1]), start, start + rng.uniform(90, 360)))
    dots = rng.uniform(-0.1, 1.1, (int(rng.integers(0, 4)), 1, 2))
    return [*tracks, *(dots + np.array([[0, 0], [0.02, 0.02]]))]


def _on_line(rng: np.random.Generator) -> list[Points]:
    """Draw a line, and two to four curves along it."""
    line = float(rng.choice([0.0, 1.0]))
    count = int(rng.integers(2, 5))
    tracks = [np.array([[-0.1, line], [count * 0.5 + 0.1, line]])]
    for place in range(count):
        x, reach = place * 0.5 + 0.25, rng.uniform(0.15, 0.3)
        middle = abs(line - rng.uniform(0.35, 0.7))
        start = rng.uniform(0, 360)
        tracks.append(arc((x, middle), (reach, rng.uniform(0.15, 0.3)), start, start + rng.uniform(150, 400)))
        if rng.random() < _HALF:  # a stem
            tracks.append(np.array([[x, line], [x, middle]]))
    return tracks
