"""Scribbles: what a hand draws when it writes nothing. Training and testing use different hands.

training  a smooth line through random points, in several strokes
testing   strokes whose direction drifts at random, zigzags, and knots of circling lines
"""

from __future__ import annotations

import math

import numpy as np

from engine.training.curves import Points, smooth
from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.pen.strokes import pen, pen_px
from engine.training.data.negatives.split import Split

_SIDE_PX = 112
_PEN_MAX_PX = 16  # a wider one fills what it circles


def scribble(split: Split, rng: np.random.Generator) -> Ink:
    """Draw one scribble, on as much paper as it needs: 0 paper, 1 ink."""
    if split == "train":
        count = int(rng.integers(1, 6))
        tracks = [_through_points(int(rng.integers(4 if count > 1 else 7, 12)), rng) for _ in range(count)]
    else:
        kind = int(rng.integers(3))
        tracks = [(_drifting, zigzag, _knot)[kind](rng) for _ in range(int(rng.integers(1 if kind else 3, 5)))]
    return pen(tracks, min(_PEN_MAX_PX, pen_px(rng, _SIDE_PX)))


def _through_points(count: int, rng: np.random.Generator) -> Points:
    """Join random points by a curve."""
    return smooth(rng.uniform(10, _SIDE_PX - 10, (count, 2)))


def _drifting(rng: np.random.Generator) -> Points:
    """Walk with a direction that drifts, turned back at the edges."""
    steps = int(rng.integers(60, 160))
    turns = np.cumsum(rng.normal(0, 0.12, steps)) + rng.normal(0, 0.35, steps)
    direction = rng.uniform(0, 2 * math.pi) + np.cumsum(turns * 0.3)
    walk = np.cumsum(np.stack([np.cos(direction), np.sin(direction)], axis=1) * 2.5, axis=0)
    return _into_picture(walk, rng)


def zigzag(rng: np.random.Generator) -> Points:
    """Shade an area: to and fro along one direction, moving on across it."""
    lines = int(rng.integers(5, 14))
    along = np.tile([0.0, 1.0], lines)[:lines] + rng.normal(0, 0.1, lines)
    zigzag = np.stack([np.linspace(0, rng.uniform(0.5, 1.5), lines), along], axis=1) * _SIDE_PX
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return _into_picture(zigzag @ turn, rng)


def _knot(rng: np.random.Generator) -> Points:
    """Circle about a centre that moves, with a radius that changes: three to eight times around."""
    angle = np.linspace(0, 2 * math.pi * rng.uniform(3, 8), 240)
    radius = 30 + 14 * np.sin(angle * rng.uniform(0.2, 0.9) + rng.uniform(0, 6)) + rng.normal(0, 0.6, angle.size)
    centre = np.stack([np.sin(angle * rng.uniform(0.05, 0.3)), np.cos(angle * rng.uniform(0.05, 0.3))], axis=1)
    circle = np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.4, 1)], axis=1)
    return _into_picture(circle * radius[:, None] + centre * 30, rng)


def _into_picture(path: Points, rng: np.random.Generator) -> Points:
    low, high = path.min(axis=0), path.max(axis=0)
    size = rng.uniform(0.5, 0.85) * _SIDE_PX
    path = (path - low) * (size / max(1.0, float((high - low).max())))
    room = _SIDE_PX - path.max(axis=0)
    moved: Points = path + rng.uniform(0.15, 0.85, 2) * room
    return moved
