"""Writes a skeleton as a hand does: unsteadily, slanted, turned, broad or narrow.

unsteady   a smooth random wave along each stroke; some hands draw in few straight lines, as with a mouse
placed     stretched, slanted and turned as a whole
clear      a 1 that came out like a 7, or a 7 like a 1, is written again
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.training.curves import Points, resampled
from engine.training.hands.choices import Choices
from engine.training.hands.skeletons.ones_and_sevens import is_ambiguous
from engine.training.hands.skeletons.skeleton import Skeleton, Variant

_UNSTEADY = 0.018  # deviation at each knot of the wave; of a digit's height, for the average hand
_KNOTS_APART = 0.25  # of a digit's height
_IN_STRAIGHT_LINES = 0.1
_STRETCH = 0.22  # deviation of the logarithm of width to height
_STRETCH_MAX = 0.6
_SLANT = 0.16
_SLANT_MAX = 0.4
_TURN_DEGREES = 5.0
_TURN_MAX_DEGREES = 14.0
_TRIES = 100


def write(digit: int, variant: Variant, choices: Choices) -> Sequence[Points]:
    """Write a digit in one of its variants.

    Returns
    -------
    strokes
        The larger side of their box is 1, and its upper left corner is 0, 0.

    Raises
    ------
    ValueError
        If the variant makes no clear 1 or 7.
    """
    skeleton, placement = _clear(digit, variant, choices)
    unsteady = _UNSTEADY * choices.rng.gamma(2, 0.5)
    strokes = [_unsteady(stroke, unsteady, choices.rng) @ placement for stroke in skeleton.strokes]
    return fitted(_in_straight_lines(strokes, choices.rng) if choices.happens(_IN_STRAIGHT_LINES) else strokes)


def _clear(digit: int, variant: Variant, choices: Choices) -> tuple[Skeleton, Points]:
    """Choose skeleton and placement until a 1 cannot be taken for a 7."""
    for _ in range(_TRIES):
        skeleton, placement = variant(choices), _placement(choices.rng)
        if skeleton.beak is None or not is_ambiguous(digit, skeleton.beak @ placement):
            return skeleton, placement
    raise ValueError(f"none of {_TRIES} drawings of {variant.__name__} is clear")


def rewritten(track: Points, rng: np.random.Generator) -> Points:
    """Write a pen track again: a little unsteadily, stretched, slanted and turned less than drawn digits are."""
    half = (_placement(rng) + np.eye(2)) / 2
    return fitted([_unsteady(track, _UNSTEADY * rng.gamma(2, 0.25), rng) @ half])[0]


def fitted(strokes: Sequence[Points]) -> list[Points]:
    """Move and scale strokes so that their box begins at 0, 0 and its larger side is 1."""
    points = np.concatenate(strokes)
    low = points.min(axis=0)
    side = max(1e-9, float(np.ptp(points, axis=0).max()))
    return [(stroke - low) / side for stroke in strokes]


def _placement(rng: np.random.Generator) -> Points:
    """Draw the (2, 2) matrix that points, as rows, are multiplied with."""
    stretch = math.exp(float(np.clip(rng.normal(0, _STRETCH), -_STRETCH_MAX, _STRETCH_MAX)))
    slant = float(np.clip(rng.normal(0.05, _SLANT), -_SLANT_MAX, _SLANT_MAX))
    turn = math.radians(float(np.clip(rng.normal(0, _TURN_DEGREES), -_TURN_MAX_DEGREES, _TURN_MAX_DEGREES)))
    slanted = np.array([[stretch, 0], [-slant, 1]])
    turned: Points = slanted @ [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    return turned


def _unsteady(stroke: Points, deviation: float, rng: np.random.Generator) -> Points:
    """Add a smooth wave to a stroke."""
    length = float(np.hypot(*np.diff(stroke, axis=0).T).sum())
    knots = 2 + round(length / _KNOTS_APART)
    dense = resampled(stroke, max(2, 6 * knots)) if length else stroke
    wave = rng.normal(0, deviation, (knots + 3, 2))
    at = np.linspace(0, knots - 1e-6, len(dense))
    first, u = at.astype(np.int64), (at % 1)[:, None]
    weights = ((1 - u) ** 3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6, (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, u**3 / 6)
    moved: Points = dense + sum(weight * wave[first + knot] for knot, weight in enumerate(weights))
    return moved


def _in_straight_lines(strokes: Sequence[Points], rng: np.random.Generator) -> list[Points]:
    """Keep a few points of each stroke, at equal distances, so that straight lines join them."""
    return [resampled(stroke, max(2, min(len(stroke), int(rng.integers(8, 14))))) for stroke in strokes]
