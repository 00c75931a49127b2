"""Digits on plates: disc, rounded rectangle, diamond, badge, sticker, key. And outlined or dotted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from engine.training.data.disturb import Digit
from engine.training.scenes.pen import Ink, colours, drawn, encoded, painted, placed, sheet

_HALF = 0.5


def disc(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a disc or an ellipse."""
    return _on_plate(digit, _ellipse, rng, part=(0.35, 0.62))


def rounded_plate(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a rectangle with round corners."""
    return _on_plate(digit, _rounded, rng, part=(0.35, 0.8))


def diamond(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a square that stands on its corner."""
    return _on_plate(digit, _diamond, rng, part=(0.3, 0.5))


def badge(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a small disc at the corner of something else's edge, or on one with a rim."""
    return _on_plate(digit, _ellipse, rng, part=(0.35, 0.6), rims=1)


def sticker(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a turned rectangle with a white rim."""
    return _on_plate(digit, _turned, rng, part=(0.35, 0.65), rims=1)


def key(digit: Digit, rng: np.random.Generator) -> bytes:
    """Put the digit on a key: a rounded square, its top lighter than its sides, in a case."""
    return _on_plate(digit, _rounded, rng, part=(0.25, 0.5), rims=2)


def hollow(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw only the outline of a thick digit."""
    side = int(rng.integers(80, 330))
    ink = drawn(digit, round(side * rng.uniform(0.5, 0.85)), rng, (0.1, 0.7))
    body = placed(ink, side, side, (side / 2, side / 2))
    line = max(1.0, side * rng.uniform(0.006, 0.016))
    away = cv2.distanceTransform((body < _HALF).astype(np.uint8), cv2.DIST_L2, 5)
    within = cv2.distanceTransform((body >= _HALF).astype(np.uint8), cv2.DIST_L2, 5)
    outline = np.clip(line / 2 + 1 - np.abs(away - within), 0, 1)
    paper, pen = colours(2, rng)
    return encoded(painted(sheet((side, side), paper), outline, pen), rng, rng.uniform(0, 3))


def dotted(digit: Digit, rng: np.random.Generator) -> bytes:
    """Draw the digit as a row of dots along its strokes."""
    side = int(rng.integers(80, 330))
    ink = drawn(digit, round(side * rng.uniform(0.5, 0.85)), rng, (-0.2, -0.2))
    body = placed(ink, side, side, (side / 2, side / 2))
    depth = cv2.distanceTransform((body >= _HALF).astype(np.uint8), cv2.DIST_L2, 5)
    radius = side * rng.uniform(0.012, 0.024)
    spacing = radius * rng.uniform(2.6, 3.6)
    dots = np.zeros((side, side))
    ridge = np.argwhere((depth > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3))) - _HALF))  # the strokes' middle
    away = np.full(len(ridge), np.inf)
    at = int(ridge[:, 0].argmin())
    while True:
        y, x = ridge[at]
        cv2.circle(dots, (int(x), int(y)), max(1, round(radius)), 1.0, -1, cv2.LINE_AA)
        away = np.minimum(away, np.hypot(*(ridge - ridge[at]).T))
        free = away >= spacing
        if not free.any():
            break
        at = int(np.where(free, away, np.inf).argmin())  # the next one along the strokes
    paper, pen = colours(2, rng)
    return encoded(painted(sheet((side, side), paper), dots, pen), rng, rng.uniform(0, 3))


class _Place(NamedTuple):
    """Where a plate lies on its picture."""

    side: int
    """Of the picture, px."""
    y: float
    x: float
    size: float
    """Height of the plate, px."""
    squeeze: float
    """Its width to its height."""
    turn: float
    """Degrees."""


def _on_plate(
    digit: Digit, shape: Callable[[_Place], Ink], rng: np.random.Generator, part: tuple[float, float], rims: int = 0
) -> bytes:
    """Paint background, plate, its rims, digit; `part` is the digit's share of the plate's height."""
    side = int(rng.integers(60, 330))
    size = side * rng.uniform(0.5, 0.95)
    squeeze, turn = rng.uniform(0.85, 1.0), rng.uniform(-20, 20)
    y, x = side / 2 + rng.uniform(-0.5, 0.5, 2) * (side - size)
    place = _Place(side, float(y), float(x), size, squeeze, turn)
    ink = placed(drawn(digit, max(12, round(size * rng.uniform(*part))), rng), side, side, (place.y, place.x))
    tones = colours(3 + rims, rng)
    picture = sheet((side, side), tones[0])
    for ring in range(rims + 1):
        filled = shape(place._replace(size=size * (1 - 0.1 * ring * rng.uniform(0.5, 1))))
        picture = painted(picture, filled, tones[1 + ring])
    return encoded(painted(picture, ink, tones[-1]), rng, rng.uniform(0, 4) if rng.random() < _HALF else 0.0)


def _ellipse(place: _Place) -> Ink:
    y, x = np.mgrid[: place.side, : place.side]
    return _inside(np.hypot((y - place.y), (x - place.x) / place.squeeze) - place.size / 2)


def _rounded(place: _Place) -> Ink:
    return _rectangle(place._replace(turn=0.0), radius=place.size * 0.15)


def _diamond(place: _Place) -> Ink:
    y, x = np.mgrid[: place.side, : place.side]
    away = np.abs(y - place.y) + np.abs(x - place.x) / place.squeeze - place.size / 2
    return _inside(away / np.sqrt(2))


def _turned(place: _Place) -> Ink:
    return _rectangle(place._replace(size=place.size * 0.8), radius=place.size * 0.03)


def _rectangle(place: _Place, radius: float) -> Ink:
    """Fill a rectangle with round corners."""
    y, x = np.mgrid[: place.side, : place.side]
    down, right, angle = y - place.y, x - place.x, np.deg2rad(place.turn)
    along = np.abs(right * np.cos(angle) + down * np.sin(angle)) - place.squeeze * place.size / 2 + radius
    across = np.abs(down * np.cos(angle) - right * np.sin(angle)) - place.size / 2 + radius
    corner = np.hypot(np.maximum(along, 0), np.maximum(across, 0))
    return _inside(corner + np.minimum(np.maximum(along, across), 0) - radius)


def _inside(away: Ink) -> Ink:
    """Return ink where a signed distance from the edge is negative, with an edge of one px."""
    inside: Ink = np.clip(_HALF - away, 0, 1)
    return inside
