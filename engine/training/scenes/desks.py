"""Photos of sheets: askew on a desk, punched, with a pen or a finger at the edge, under a shadow with an edge."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.disturb import Digit
from engine.training.scenes.pen import Ink, drawn, encoded, painted, placed, sheet

_HALF = 0.5


def sheet_askew(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph a sheet that lies askew on a desk, which is darker or lighter than it."""
    side = int(rng.integers(120, 400))
    size = side * rng.uniform(0.55, 0.85)
    angle = np.deg2rad(rng.uniform(2, 25) * rng.choice([-1, 1]))
    y, x = np.mgrid[:side, :side]
    middle = side / 2 + rng.uniform(-0.2, 0.2, 2) * (side - size)
    along = np.abs((x - middle[1]) * np.cos(angle) + (y - middle[0]) * np.sin(angle)) - size / 2
    across = np.abs((y - middle[0]) * np.cos(angle) - (x - middle[1]) * np.sin(angle)) - size / 2 * rng.uniform(0.8, 1)
    lying = np.clip(_HALF - np.maximum(along, across), 0, 1)
    paper = rng.uniform(190, 250) + rng.normal(0, 6, 3)
    desk = rng.uniform(20, 130, 3)
    picture = painted(sheet((side, side), desk), lying, paper)
    return _photo(picture, _ink(digit, side, size * rng.uniform(0.35, 0.6), middle, rng), rng)


def punched(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph a sheet with two to four punch holes along one edge."""
    side = int(rng.integers(120, 400))
    holes = np.zeros((side, side))
    count = int(rng.integers(2, 5))
    radius = side * rng.uniform(0.02, 0.045)
    at = side * rng.uniform(0.05, 0.12)
    for place in range(count):
        y = side * (place + _HALF + rng.uniform(-0.03, 0.03)) / count
        cv2.circle(holes, (round(at), round(y)), round(radius), 1.0, -1, cv2.LINE_AA)
    if rng.random() < _HALF:
        holes = holes.T
    picture = painted(_lit_paper(side, rng), holes, rng.uniform(0, 90, 3))
    middle = side * np.array([0.5, 0.5]) + side * rng.uniform(0, 0.08, 2)
    return _photo(picture, _ink(digit, side, side * rng.uniform(0.35, 0.6), middle, rng), rng)


def pen_at_edge(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph a sheet with a pen that lies across an edge of the picture."""
    return _with_object(digit, rng, (0.03, 0.06), rng.uniform(0, 160, 3))


def finger_at_edge(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph a sheet held by a finger at an edge of the picture."""
    skin = np.array([120.0, 150.0, 205.0]) * rng.uniform(0.5, 1.05)
    return _with_object(digit, rng, (0.08, 0.14), skin)


def shadow_edge(digit: Digit, rng: np.random.Generator) -> bytes:
    """Photograph a sheet across which a shadow with an edge falls: 30 to 50 % deep."""
    side = int(rng.integers(120, 420))
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    direction = rng.uniform(0, 2 * np.pi)
    away = x * np.cos(direction) + y * np.sin(direction) + rng.uniform(-0.4, 0.4)
    soft = rng.uniform(0.01, 0.2)
    shade = np.clip(away / soft + _HALF, 0, 1)
    light = (1 - rng.uniform(0.3, 0.5) * shade) * (1 - rng.uniform(0, 0.1) * (x + 1) / 2)
    paper = sheet((side, side), rng.uniform(200, 250) + rng.normal(0, 5, 3))
    ink = _ink(digit, side, side * rng.uniform(0.35, 0.75), np.array([side / 2, side / 2]), rng)
    picture = painted(paper, ink, rng.uniform(0, 70, 3)) * light[:, :, None]
    return encoded(picture, rng, rng.uniform(0.5, 4))


def _with_object(
    digit: Digit, rng: np.random.Generator, radii: tuple[float, float], colour: NDArray[np.float64]
) -> bytes:
    side = int(rng.integers(120, 400))
    direction = rng.uniform(0, 2 * np.pi)
    outward = np.array([np.cos(direction), np.sin(direction)])
    sideways = np.array([-outward[1], outward[0]])
    tip = side * (0.5 + 0.43 * outward / np.abs(outward).max() + rng.uniform(-0.12, 0.12) * sideways)
    end = tip + side * (outward + rng.uniform(-0.5, 0.5) * sideways)
    body = np.zeros((side, side))
    thick = max(2, round(2 * side * rng.uniform(*radii)))
    cv2.line(body, _point(tip), _point(end), 1.0, thick, cv2.LINE_AA)
    middle = side * 0.5 - side * rng.uniform(0, 0.08) * outward
    picture = painted(_lit_paper(side, rng), body, colour)
    return _photo(picture, _ink(digit, side, side * rng.uniform(0.35, 0.55), middle[::-1], rng), rng)


def _point(place: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def _ink(digit: Digit, side: int, height: float, middle: NDArray[np.float64], rng: np.random.Generator) -> Ink:
    return placed(drawn(digit, max(20, round(height)), rng), side, side, (float(middle[0]), float(middle[1])))


def _lit_paper(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return sheet((side, side), rng.uniform(190, 250) + rng.normal(0, 6, 3))


def _photo(picture: NDArray[np.float64], ink: Ink, rng: np.random.Generator) -> bytes:
    """Write on the sheet, let the light fall off by up to a tenth, blur a little, add noise."""
    side = len(picture)
    written = painted(picture, ink, rng.uniform(0, 70, 3))
    light = 1 - rng.uniform(0, 0.1) * np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j][int(rng.integers(2))]
    blurred = cv2.GaussianBlur(written * light[:, :, None], (0, 0), max(0.4, side * 0.002))
    return encoded(blurred, rng, rng.uniform(0, 4))
