"""Digits in form fields: a box, a ring, a row of boxes of which one is filled, a comb."""

from __future__ import annotations

import cv2
import numpy as np

from engine.training.data.disturb import Digit
from engine.training.scenes.pen import Ink, colours, drawn, encoded, painted, placed, sheet

_HALF = 0.5


def box(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw a box around the digit, somewhere on the sheet; three times in ten it touches the box's line."""
    side = int(rng.integers(90, 330))
    size = side * rng.uniform(0.35, 0.9)
    lines = np.zeros((side, side))
    top, left = (rng.uniform(0.02, 0.98) * (side - size) for _ in range(2))
    squeeze = rng.uniform(0.75, 1.0)
    _rectangle(lines, (top, left), (top + size, left + size * squeeze), _line(side, rng))
    ink = _within(digit, size, size * squeeze, rng)
    return _written(lines, placed(ink, side, side, (top + size / 2, left + size * squeeze / 2)), rng)


def ring(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw a ring around the digit."""
    side = int(rng.integers(90, 330))
    size = side * rng.uniform(0.45, 0.9)
    lines = np.zeros((side, side))
    middle = side / 2 + rng.uniform(-0.5, 0.5, 2) * (side - size)
    axes = (round(size / 2 * rng.uniform(0.85, 1)), round(size / 2))
    centre = (round(middle[1]), round(middle[0]))
    cv2.ellipse(lines, centre, axes, rng.uniform(-20, 20), 0, 360, 1.0, _line(side, rng), cv2.LINE_AA)
    ink = drawn(digit, round(size * rng.uniform(0.35, 0.6)), rng)
    return _written(lines, placed(ink, side, side, (middle[0], middle[1])), rng)


def box_row(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw three to eight boxes side by side, one of them filled."""
    count = int(rng.integers(3, 9))
    cell = int(rng.integers(30, 70))
    gap = 0 if rng.random() < _HALF else int(rng.integers(3, 12))
    height, width = round(cell * rng.uniform(1.2, 2)), count * (cell + gap) + int(rng.integers(10, 40))
    lines = np.zeros((height, width))
    top, left = (height - cell) / 2, (width - count * (cell + gap)) / 2
    pen = max(1, round(cell * rng.uniform(0.02, 0.06)))
    for place in range(count):
        start = left + place * (cell + gap)
        _rectangle(lines, (top, start), (top + cell, start + cell), pen)
    chosen = left + int(rng.integers(count)) * (cell + gap) + cell / 2
    ink = _within(digit, cell, cell, rng)
    return _written(lines, placed(ink, height, width, (top + cell / 2, chosen)), rng)


def comb(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw a comb: a base line with short ticks, the digit between two of them."""
    count = int(rng.integers(2, 8))
    cell = int(rng.integers(34, 80))
    height, width = round(cell * rng.uniform(1.5, 2.2)), count * cell + int(rng.integers(10, 50))
    lines = np.zeros((height, width))
    base, left = height * rng.uniform(0.8, 0.9), (width - count * cell) / 2
    pen = max(1, round(cell * rng.uniform(0.02, 0.05)))
    cv2.line(lines, (round(left), round(base)), (round(left + count * cell), round(base)), 1.0, pen)
    tick = cell * rng.uniform(0.15, 0.6)
    for place in range(count + 1):
        x = round(left + place * cell)
        cv2.line(lines, (x, round(base)), (x, round(base - tick)), 1.0, pen)
    ink = drawn(digit, round(cell * rng.uniform(0.6, 0.9)), rng)
    ink = ink if ink.shape[1] < 0.8 * cell else cv2.resize(ink, None, fx=0.8 * cell / ink.shape[1], fy=1)
    middle = base - pen - ink.shape[0] / 2 - cell * rng.uniform(0.04, 0.15)
    return _written(lines, placed(ink, height, width, (middle, left + int(rng.integers(count)) * cell + cell / 2)), rng)


def _within(digit: Digit, height: float, width: float, rng: np.random.Generator) -> Ink:
    part = rng.uniform(0.4, 0.75)
    ink = drawn(digit, round(height * part), rng)
    room = 0.8 * width
    return ink if ink.shape[1] <= room else cv2.resize(ink, None, fx=room / ink.shape[1], fy=1)


def _line(side: int, rng: np.random.Generator) -> int:
    return max(1, round(side * rng.uniform(0.005, 0.016)))


def _rectangle(lines: Ink, first: tuple[float, float], last: tuple[float, float], pen: int) -> None:
    """Draw a rectangle between two corners (y, x)."""
    cv2.rectangle(lines, (round(first[1]), round(first[0])), (round(last[1]), round(last[0])), 1.0, pen)


def _written(lines: Ink, ink: Ink, rng: np.random.Generator) -> bytes:
    """Paint the lines and the digit, in the same colour or in two."""
    paper, pen = colours(2, rng)
    line = pen if rng.random() < _HALF else paper + rng.uniform(0.4, 1) * (pen - paper)
    picture = painted(sheet(ink.shape, paper), lines, line)
    return encoded(painted(picture, ink, pen), rng, rng.uniform(0, 4) if rng.random() < _HALF else 0.0)
