"""Augments the training digits by random distortions, again in each epoch, so that no single copy is overfitted.

affine    rotation, slant, size, proportion and shift
elastic   a smooth random displacement field, a cubic B-spline over 8x8 knots [1]_

References
----------
.. [1] P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
   Analysis", ICDAR 2003: elastic distortions of digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.compiled import compiled
from engine.model.hog import SIDE_PX
from engine.model.second_look import interpolate
from engine.model.svm import Floats
from engine.training.parallel import in_parts

_KNOTS = 8
_MIDDLE = np.float32((SIDE_PX - 1) / 2)


@dataclass(frozen=True, slots=True)
class Strength:
    """Standard deviations of the random distortions."""

    turn_degrees: float = 8.0
    slant: float = 0.1
    size: float = 0.12
    """Of the logarithm of the size; `aspect` is logarithmic too."""
    aspect: float = 0.1
    shift_px: float = 0.7
    bend_px: float = 0.8
    """At each knot; between the knots the field is smoother and weaker."""
    untouched: float = 0.15
    """Share of digits that are not changed."""


def augment(digits: Floats, strength: Strength, random: np.random.Generator) -> Floats:
    """Return one distorted copy of each digit.

    Parameters
    ----------
    digits : (n, 28, 28) float32
        0 is paper, 1 is ink.
    strength
        The strength of the distortions.
    random
        The source of all random choices.

    Returns
    -------
    copies : (n, 28, 28) float32
    """
    backwards = _affine(len(digits), strength, random)
    knots = random.standard_normal((len(digits), 2, _KNOTS, _KNOTS), dtype=np.float32) * np.float32(strength.bend_px)
    untouched = random.random(len(digits)) < strength.untouched
    backwards[untouched] = (1, 0, 0, 1, 0, 0)
    knots[untouched] = 0
    copies = np.empty_like(digits)

    def fill(part: slice) -> None:
        _warp(digits[part], backwards[part], _SPLINE @ knots[part] @ _SPLINE.T, copies[part])

    in_parts(fill, len(digits))
    return copies


def _affine(count: int, strength: Strength, random: np.random.Generator) -> Floats:
    """Draw (count, 6) affine maps from the copy's pixels to the digit's: a 2x2 matrix by rows, and a shift in px."""
    angle = np.deg2rad(random.normal(0, strength.turn_degrees, count))
    size = random.normal(0, strength.size, count)
    aspect = random.normal(0, strength.aspect, count)
    slant = random.normal(0, strength.slant, count)
    wide, high = np.exp(size + aspect), np.exp(size - aspect)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = [cosine * wide, (slant * cosine - sine) * high, sine * wide, (slant * sine + cosine) * high]
    shift = random.normal(0, strength.shift_px, (2, count))
    return np.stack([*matrix, *shift], axis=1).astype(np.float32)


def _spline() -> Floats:
    """Weigh each knot (column) at each pixel (row) of one axis, by the uniform cubic B-spline."""
    weights = np.zeros((SIDE_PX, _KNOTS), np.float32)
    spacing_px = (SIDE_PX - 1) / (_KNOTS - 3)
    for pixel in range(SIDE_PX):
        knot = min(int(pixel / spacing_px), _KNOTS - 4)
        u = pixel / spacing_px - knot
        weights[pixel, knot : knot + 4] = (
            (1 - u) ** 3 / 6,
            (3 * u**3 - 6 * u**2 + 4) / 6,
            (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6,
            u**3 / 6,
        )
    return weights


_SPLINE = _spline()


@compiled
def _warp(digits: Floats, backwards: Floats, bends: Floats, copies: Floats) -> None:
    """Fill each copy by sampling the digit at the mapped position of each pixel."""
    for i in range(len(digits)):
        bend_x, bend_y = bends[i, 0], bends[i, 1]
        for y in range(SIDE_PX):
            for x in range(SIDE_PX):
                right, down = np.float32(x) - _MIDDLE, np.float32(y) - _MIDDLE
                from_x = backwards[i, 0] * right + backwards[i, 1] * down + backwards[i, 4] + bend_x[y, x] + _MIDDLE
                from_y = backwards[i, 2] * right + backwards[i, 3] * down + backwards[i, 5] + bend_y[y, x] + _MIDDLE
                copies[i, y, x] = interpolate(digits[i], from_x, from_y)
