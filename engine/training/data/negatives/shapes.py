"""Shapes, solid and outlined: polygons and round ones, other shapes for learning than for testing.

Left out are those that a digit looks like: outlined discs, ellipses and tall boxes (0), bars that stand upright (1),
flashes (4 as some schools teach it), hourglasses (8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.split import Split

Corners = NDArray[np.float64]
"""(n, 2) points within -1 and 1."""

_SIDE_PX: Final = 96
_FIXED_POINT: Final = 4
_OUTLINED: Final = 0.35
_TURNED: Final = 0.3


def shape(split: Split, rng: np.random.Generator) -> Ink:
    """Draw one shape, as it stands or turned, in some proportion, solid or outlined."""
    name, corners = corners_of(split, rng)
    corners = corners * np.array([np.exp(rng.normal(0, 0.12)), 1.0])
    corners += rng.normal(0, 0.015, corners.shape)
    if rng.random() < _TURNED:
        angle = rng.uniform(0, 2 * np.pi)
        corners @= np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.rint((corners + 1.5) * (_SIDE_PX / 3) * (1 << _FIXED_POINT)).astype(np.int32)
    picture = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    if name not in SOLID_ONLY and rng.random() < _OUTLINED:
        width = int(rng.integers(2, 12))
        cv2.polylines(picture, [points], True, 255, width, cv2.LINE_AA, _FIXED_POINT)
    else:
        cv2.fillPoly(picture, [points], 255, cv2.LINE_AA, _FIXED_POINT)
    return picture.astype(np.float32) / np.float32(255)


def corners_of(split: Split, rng: np.random.Generator) -> tuple[str, Corners]:
    """Choose one of the shapes: its name, and its corners within -1 and 1."""
    names = sorted(_SHAPES[split])
    name = names[int(rng.integers(len(names)))]
    return name, _SHAPES[split][name]()


def _regular(count: int, first: float = -np.pi / 2) -> Corners:
    """Place corners at equal distances on a circle; the first is on top."""
    angle = first + np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _star(points: int, inner: float) -> Corners:
    corners = _regular(2 * points)
    corners[1::2] *= inner
    return corners


def _heart() -> Corners:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1) / 16


def _crescent() -> Corners:
    outer = np.linspace(0.3 * np.pi, 1.7 * np.pi, 30)
    inner = np.linspace(1.55 * np.pi, 0.45 * np.pi, 30)
    arcs = [
        np.stack([np.cos(outer), np.sin(outer)], 1),
        np.stack([0.45 + 0.75 * np.cos(inner), 0.75 * np.sin(inner)], 1),
    ]
    return np.concatenate(arcs)


def _drop() -> Corners:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([np.sin(t) * np.sin(t / 2) ** 1.5 * 0.9, -np.cos(t)], axis=1)


def _cloud() -> Corners:
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    radius = 0.75 + 0.2 * np.abs(np.sin(t * 3.5))
    return np.stack([radius * np.cos(t) * 1.1, radius * np.sin(t) * 0.7], axis=1)


def _gear() -> Corners:
    corners = _regular(32)
    corners[np.arange(32) % 4 > 1] *= 0.72  # two corners out, two in
    return corners


def _sector() -> Corners:
    t = np.linspace(-0.75 * np.pi, 0.5 * np.pi, 40)
    return np.concatenate([[[0.0, 0.0]], np.stack([np.cos(t), np.sin(t)], axis=1)])


def _points(text: str) -> Callable[[], Corners]:
    corners = np.array([point.split(",") for point in text.split()], np.float64)
    return corners.copy


_SHAPES: Final[Mapping[Split, Mapping[str, Callable[[], Corners]]]] = MappingProxyType(
    {
        "train": {
            "square": _points("-1,-1 1,-1 1,1 -1,1"),
            "bar": _points("-1,-.3 1,-.3 1,.3 -1,.3"),
            "triangle": lambda: _regular(3),
            "triangle on its corner": lambda: _regular(3, np.pi / 2),
            "right triangle": _points("-1,-1 1,1 -1,1"),
            "diamond": lambda: _regular(4),
            "disc": lambda: _regular(60),
            "ellipse": lambda: _regular(60) * np.array([1.0, 0.65]),
            "pentagon": lambda: _regular(5),
            "star": lambda: _star(5, 0.4),
            "star of eight": lambda: _star(8, 0.55),
            "heart": _heart,
            "cross": _points("-.3,-1 .3,-1 .3,-.3 1,-.3 1,.3 .3,.3 .3,1 -.3,1 -.3,.3 -1,.3 -1,-.3 -.3,-.3"),
            "arrow": _points("-1,-.3 .1,-.3 .1,-.9 1,0 .1,.9 .1,.3 -1,.3"),
            "corner": _points("-1,-1 -.3,-1 -.3,.3 1,.3 1,1 -1,1"),
            "trapezium": _points("-.5,-.7 .5,-.7 1,.7 -1,.7"),
            "crescent": _crescent,
            "flag": _points("-1,-1 1,-.5 -.7,0 -.7,1 -1,1"),
            "star of three": lambda: _star(3, 0.3),
            "sun": lambda: _star(12, 0.7),
            "sector": _sector,
            "fork": _points(
                "-1,-1 -.6,-1 -.6,0 -.2,0 -.2,-1 .2,-1 .2,0 .6,0 .6,-1 1,-1 1,.4 .2,.4 .2,1 -.2,1 -.2,.4 -1,.4"
            ),
            "frame": _points("-1,-1 1,-1 1,1 .6,1 .6,-.6 -.6,-.6 -.6,1 -1,1"),
            "arrow both ways": _points("-1,0 -.5,-.6 -.5,-.25 .5,-.25 .5,-.6 1,0 .5,.6 .5,.25 -.5,.25 -.5,.6"),
            "shield": _points("-.8,-1 0,-.8 .8,-1 .8,.1 .5,.6 0,1 -.5,.6 -.8,.1"),
            "tree": _points("0,-1 .6,-.3 .3,-.3 .9,.4 .2,.4 .2,1 -.2,1 -.2,.4 -.9,.4 -.3,-.3 -.6,-.3"),
            "pieces": _points("-1,-.6 -.2,-.6 -.35,-1 .35,-1 .2,-.6 1,-.6 1,1 .2,1 .35,.6 -.35,.6 -.2,1 -1,1"),
            "jags": _points("-1,.2 -.6,-.7 -.2,.2 .2,-.7 .6,.2 1,-.7 1,.7 -1,.7"),
        },
        "test": {
            "hexagon": lambda: _regular(6),
            "octagon": lambda: _regular(8, -np.pi / 8),
            "star of six": lambda: _star(6, 0.55),
            "star of four": lambda: _star(4, 0.35),
            "half disc": lambda: np.clip(_regular(60), [-1, -1], [1, 0.1]) + np.array([0, 0.4]),
            "drop": _drop,
            "cloud": _cloud,
            "gear": _gear,
            "parallelogram": _points("-.5,-.7 1,-.7 .5,.7 -1,.7"),
            "house": _points("-.8,1 -.8,-.1 -1,-.1 0,-1 1,-.1 .8,-.1 .8,1"),
            "chevron": _points("-.8,-1 .1,-1 .9,0 .1,1 -.8,1 0,0"),
            "letter T": _points("-1,-1 1,-1 1,-.4 .35,-.4 .35,1 -.35,1 -.35,-.4 -1,-.4"),
            "stairs": _points("-1,1 -1,-1 -.3,-1 -.3,-.3 .3,-.3 .3,.3 1,.3 1,1"),
            "cup": _points("-.8,-.9 .8,-.9 .3,0 .12,.1 .12,.7 .6,.95 -.6,.95 -.12,.7 -.12,.1 -.3,0"),
        },
    }
)

SOLID_ONLY: Final = frozenset(
    {
        "disc",
        "ellipse",
        "pentagon",
        "hexagon",
        "octagon",
        "star of eight",
        "sun",
        "shield",
        "drop",
        "cloud",
        "bar",
        "parallelogram",
    }
)
"""Shapes whose outline a 0 has, too."""
