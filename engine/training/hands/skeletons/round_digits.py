"""0, 6, 8 and 9, the digits with loops."""

from __future__ import annotations

import numpy as np

from engine.training.curves import Points, arc, curve, joined, line
from engine.training.hands.choices import Choices
from engine.training.hands.skeletons.skeleton import Skeleton

_TOP = 270.0


def plain_zero(choices: Choices) -> Skeleton:
    """Draw an oval that closes, nearly closes, or runs on beyond its beginning."""
    return Skeleton([_oval(choices)])


def slashed_zero(choices: Choices) -> Skeleton:
    """Draw an oval with a line through it, as programmers and Scandinavians do."""
    oval = _oval(choices)
    reach_x = float(np.ptp(oval[:, 0])) / 2 * choices.between(0.5, 1.5)
    reach_y = 0.5 * choices.between(0.5, 1.2)
    side = -1 if choices.happens(0.15) else 1
    return Skeleton([oval, line((-side * reach_x, 0.5 + reach_y), (side * reach_x, 0.5 - reach_y))])


def dotted_zero(choices: Choices) -> Skeleton:
    """Draw an oval with a dot in the middle."""
    centre = np.array([choices.around(0, 0.05), choices.around(0.5, 0.08)])
    length = choices.between(0, 0.1)
    return Skeleton([_oval(choices, least=0.28), line(tuple(centre), (centre[0], centre[1] + length))])


def zero_with_loop(choices: Choices) -> Skeleton:
    """Draw an oval that ends in a small loop or tail at its top."""
    radius = choices.between(0.22, 0.42)
    oval = arc((0, 0.55), (radius, 0.45), _TOP, _TOP - 350)
    tail = curve(
        tuple(oval[-1]),
        (choices.between(-0.2, -0.05), choices.between(-0.02, 0.1)),
        (choices.between(0.02, 0.15), choices.between(0.12, 0.22)),
        (choices.between(0.2, 0.4), choices.between(0.02, 0.12)),
    )
    return Skeleton([joined(oval, tail)])


def plain_six(choices: Choices) -> Skeleton:
    """Draw a stem that bends into a ring."""
    top = choices.between(0.36, 0.56)
    radius = choices.between(0.18, 0.36)
    middle = (0.0, (top + 1) / 2)
    start = choices.between(195, 225)
    ring = arc(middle, (radius, (1 - top) / 2), start, start - 360 - choices.around(0, 30))
    stem = curve(
        (choices.between(-0.02, 0.42), 0.0),
        (-radius * choices.between(0.3, 0.85), choices.between(0.2, 0.36)),
        tuple(ring[0]),
    )
    return Skeleton([joined(stem, ring[1:])])


def six_with_hook(choices: Choices) -> Skeleton:
    """Draw a 6 whose stem begins with a bow to the right."""
    six = plain_six(choices).strokes[0]
    start = six[0]
    drop = choices.between(0.03, 0.16)
    hook = curve(
        (start[0] + choices.between(0.08, 0.22), start[1] + drop), (start[0] + 0.06, start[1] - 0.02), tuple(start)
    )
    return Skeleton([joined(hook, six)])


def straight_six(choices: Choices) -> Skeleton:
    """Draw a straight stem that leads into the ring."""
    top = choices.between(0.42, 0.6)
    radius = choices.between(0.2, 0.34)
    ring = arc((0.0, (top + 1) / 2), (radius, (1 - top) / 2), 175, 175 - 360 - choices.around(0, 30))
    return Skeleton([joined(line((choices.between(-0.15, 0.35), 0.0), tuple(ring[0])), ring[1:])])


def open_six(choices: Choices) -> Skeleton:
    """Draw a 6 whose ring does not close."""
    top = choices.between(0.4, 0.55)
    radius = choices.between(0.22, 0.36)
    start = choices.between(185, 215)
    ring = arc((0.0, (top + 1) / 2), (radius, (1 - top) / 2), start, start - choices.between(250, 330))
    stem = curve((choices.between(0.0, 0.4), 0.0), (-radius * choices.between(0.4, 0.9), 0.3), tuple(ring[0]))
    return Skeleton([joined(stem, ring[1:])])


def crossed_eight(choices: Choices) -> Skeleton:
    """Draw an 8 in one line that crosses itself, closed, or open at its top."""
    waist = choices.between(0.38, 0.56)
    upper, lower = choices.between(0.15, 0.32), choices.between(0.2, 0.38)
    opening = choices.between(-0.06, 0.14) if choices.happens(0.5) else 0.0
    lean = choices.around(0.02, 0.06)
    # From the upper right over the top to the left, across the waist, around the lower bow, and back up to the start.
    return Skeleton(
        [
            curve(
                (upper * 0.75 + opening / 2, 0.08 + max(0.0, opening)),
                (lean, 0.0),
                (-upper, waist * 0.45),
                (0.0, waist),
                (lower, (1 + waist) / 2),
                (-lean, 1.0),
                (-lower, (1 + waist) / 2),
                (0.0, waist + choices.around(0, 0.04)),
                (upper, waist * 0.45),
                (upper * 0.75 - opening / 2, 0.08),
            )
        ]
    )


def stacked_eight(choices: Choices) -> Skeleton:
    """Draw an 8 as two rings, one on the other."""
    waist = choices.between(0.36, 0.54)
    upper, lower = choices.between(0.14, 0.32), choices.between(0.18, 0.38)
    gap = choices.around(0.0, 0.03)
    start = choices.between(200, 340)
    return Skeleton(
        [
            arc((choices.around(0, 0.06), waist / 2), (upper, waist / 2), start, start - 360 - choices.around(0, 20)),
            arc((0.0, (1 + waist) / 2 + gap), (lower, (1 - waist) / 2), _TOP, _TOP - 360 - choices.around(0, 20)),
        ]
    )


def straight_nine(choices: Choices) -> Skeleton:
    """Draw a ring and a straight stem."""
    ring, right = _ring_of_nine(choices)
    foot = (right[0] + choices.between(-0.35, 0.08), 1.0)
    return Skeleton([joined(ring, line(right, foot))])


def hooked_nine(choices: Choices) -> Skeleton:
    """Draw a ring and a stem that bends to the left at its foot."""
    ring, right = _ring_of_nine(choices)
    depth = choices.between(0.15, 0.45)
    stem = curve(right, (right[0] - 0.02, 0.62), (right[0] - depth * 0.45, 0.92), (right[0] - depth, 1.0))
    return Skeleton([joined(ring, stem)])


def curled_nine(choices: Choices) -> Skeleton:
    """Draw a ring and a stem that curls: back to the left, and up again at its end."""
    ring, right = _ring_of_nine(choices)
    left = right[0] - choices.between(0.4, 0.8)
    end = (left + choices.around(0.0, 0.08), choices.between(0.72, 0.96))
    belly = choices.around(0.02, 0.06)
    stem = curve(
        right,
        (right[0] + belly, 0.66),
        (right[0] - 0.12, 0.94),
        ((left + right[0]) / 2 - 0.05, 1.0),
        (left + 0.06, 0.96),
        end,
    )
    return Skeleton([joined(ring, stem)])


def open_nine(choices: Choices) -> Skeleton:
    """Draw a 9 whose ring does not reach the stem, with any tail."""
    ring, right = _ring_of_nine(choices)
    cut = ring[: max(6, int(len(ring) * choices.between(0.75, 0.92)))]
    top = (right[0] + choices.around(0.02, 0.03), choices.between(0.0, 0.1))
    depth = choices.between(0.0, 0.45)
    stem = curve(top, (top[0] - 0.01, 0.5), (top[0] - depth * 0.3, 0.9), (top[0] - depth, 1.0))
    return Skeleton([cut, stem])


def _oval(choices: Choices, least: float = 0.18) -> Points:
    """Draw the outline of a 0, anticlockwise or, as some do, clockwise."""
    radius = choices.between(least, 0.48)
    start = choices.between(230, 330)
    turn = choices.between(335, 395) * (-1 if choices.happens(0.8) else 1)
    oval = arc((0.0, 0.5), (radius, 0.5), start, start + turn)
    drift = np.linspace(0, 1, len(oval))[:, None] * (choices.around(0, 0.05), choices.around(0, 0.05))
    return oval + drift


def _ring_of_nine(choices: Choices) -> tuple[Points, tuple[float, float]]:
    """Draw the ring anticlockwise from its upper right; return where the stem goes on."""
    bottom = choices.between(0.4, 0.6)
    radius = choices.between(0.16, 0.34)
    start = choices.between(300, 345)
    ring = arc((0.0, bottom / 2), (radius, bottom / 2), start, start - 360 + choices.around(0, 25))
    corner = (radius * choices.between(0.85, 1.15), choices.between(0.04, 0.22))
    return joined(ring, np.array([corner])), corner
