"""1 and 7, whose difference is the line before the stem: the upstroke of a 1 rises, the bar of a 7 is level."""

from __future__ import annotations

import math

import numpy as np

from engine.training.curves import Points, curve, joined, line
from engine.training.hands.choices import Choices
from engine.training.hands.skeletons.skeleton import Skeleton

Point = tuple[float, float]

_RISE_DEGREES = (27.0, 85.0)  # of the upstroke of a 1, from the horizontal
_FLAG_MAX = 0.25  # of the stem: a shorter upstroke may have any angle
_BAR_TILT_MAX_DEGREES = 14.0
_BAR_MIN = 0.3  # of the stem
_LEAN_MAX_DEGREES = {1: 40.0, 7: 50.0}
_UPRIGHT_DEGREES = 90.0


def is_ambiguous(digit: int, beak: Points) -> bool:
    """Decide whether a person may read a 1 as a 7, or a 7 as a 1, by the line before the stem.

    Parameters
    ----------
    digit
        1 or 7.
    beak : (3, 2)
        Where the line begins, where it meets the stem, and the stem's foot, as they are drawn in the end.

    Notes
    -----
    A 1 is clear if its upstroke rises by 27 to 85 degrees from the horizontal, or is shorter than a quarter of the
    stem, and if the stem leans by at most 40 degrees. A 7 is clear if its bar rises or falls by at most 14 degrees, is
    at least 0.3 of the stem long, and the stem leans by at most 50 degrees.
    """
    before, stem = beak[1] - beak[0], beak[2] - beak[1]
    rise = math.degrees(math.atan2(-before[1], before[0]))
    share = float(np.hypot(*before) / np.hypot(*stem))
    lean = abs(math.degrees(math.atan2(stem[1], stem[0])) - _UPRIGHT_DEGREES)
    if lean > _LEAN_MAX_DEGREES[digit]:
        return True
    if digit == 1:
        return rise > _RISE_DEGREES[1] or (rise < _RISE_DEGREES[0] and share > _FLAG_MAX)
    return abs(rise) > _BAR_TILT_MAX_DEGREES or share < _BAR_MIN


def plain_one(choices: Choices) -> Skeleton:
    """Draw a single line."""
    lean, bend = choices.around(0, 0.25), choices.around(0, 0.03)
    return Skeleton([curve((0, 0), (-lean / 2 + bend, 0.5), (-lean, 1))])


def one_with_upstroke(choices: Choices) -> Skeleton:
    """Draw an upstroke of any length and angle, and a stem."""
    return _one(choices, choices.between(0.12, 0.7), choices.between(20, 70))


def one_with_long_upstroke(choices: Choices) -> Skeleton:
    """Draw an upstroke from near the foot line, nearly as long as the stem."""
    return _one(choices, choices.between(0.6, 1.05), choices.between(38, 78))


def one_with_upstroke_and_foot(choices: Choices) -> Skeleton:
    """Draw an upstroke of any length and angle, a stem, and a line below it."""
    return _with_foot(choices, _one(choices, choices.between(0.12, 0.7), choices.between(20, 70)))


def one_with_serif_and_foot(choices: Choices) -> Skeleton:
    """Draw a 1 as printers do: a short, often level flag, and a broad foot."""
    return _with_foot(choices, _one(choices, choices.between(0.08, 0.26), choices.between(0, 60)))


def _one(choices: Choices, length: float, rise_degrees: float) -> Skeleton:
    """Draw upstroke and stem; the upstroke may bend, and the pen may be lifted between them."""
    rise = math.radians(rise_degrees)
    start = (-length * math.cos(rise), length * math.sin(rise))
    foot = (choices.around(-0.04, 0.14), 1.0)
    sag = choices.around(0.0, 0.12) * length
    middle = (start[0] / 2 + sag * math.sin(rise), start[1] / 2 + sag * math.cos(rise))
    upstroke = curve(start, middle, (0, 0))
    stem = curve((0, 0), (foot[0] / 2 + choices.around(0, 0.02), 0.5), foot)
    beak = np.array([start, (0, 0), foot])
    if choices.happens(0.15):
        gap = choices.around(0, 0.04)
        return Skeleton([upstroke + np.array([0, gap]), stem], beak)
    return Skeleton([joined(upstroke, stem)], beak)


def _with_foot(choices: Choices, one: Skeleton) -> Skeleton:
    foot = one.strokes[-1][-1]
    left, right = choices.between(0.08, 0.45), choices.between(0.08, 0.45)
    tilt, gap = choices.around(0, 0.06), choices.around(0, 0.02)
    foot_line = line((foot[0] - left, foot[1] + gap + tilt), (foot[0] + right, foot[1] + gap - tilt))
    return Skeleton([*one.strokes, foot_line], one.beak)


def plain_seven(choices: Choices) -> Skeleton:
    """Draw a bar and a stem."""
    return _seven(choices)


def barred_seven(choices: Choices) -> Skeleton:
    """Draw a bar, a stem, and a short line through the stem."""
    return _barred(choices, _seven(choices))


def seven_with_serif(choices: Choices) -> Skeleton:
    """Draw a 7 whose bar begins with a short line downwards."""
    return _with_serif(choices, _seven(choices))


def barred_seven_with_serif(choices: Choices) -> Skeleton:
    """Draw all three: serif, bar, and the line through the stem."""
    return _barred(choices, _with_serif(choices, _seven(choices)))


def _seven(choices: Choices) -> Skeleton:
    width, tilt = choices.between(0.32, 0.85), choices.around(0, 0.06)
    sag = choices.around(0, 0.06)
    start, corner = (-width, tilt), (0.0, 0.0)
    foot = (-choices.between(0.0, 0.65) * width - choices.between(0, 0.1), 1.0)
    bend = choices.around(-0.04, 0.14)
    stem = curve(corner, (foot[0] * 0.5 + bend, 0.45), foot)
    bar = curve(start, (-width / 2, tilt / 2 + sag), corner)
    if choices.happens(0.2):  # a round corner
        radius = choices.between(0.04, 0.16)
        bar, stem = curve(start, (-width / 2, tilt / 2), (-radius, 0.0), tuple(stem[4] + (0, radius / 2))), stem[5:]
    return Skeleton([joined(bar, stem)], np.array([start, corner, foot]))


def _barred(choices: Choices, seven: Skeleton) -> Skeleton:
    at = choices.between(0.35, 0.65)
    stem = seven.strokes[0]
    x = float(stem[np.abs(stem[:, 1] - at)[len(stem) // 3 :].argmin() + len(stem) // 3, 0])
    left, right = choices.between(0.1, 0.32), choices.between(0.1, 0.32)
    tilt = choices.around(0.03, 0.09)
    through = line((x - left, at + tilt), (x + right, at - tilt))
    return Skeleton([*seven.strokes, through], seven.beak)


def _with_serif(choices: Choices, seven: Skeleton) -> Skeleton:
    start = seven.strokes[0][0]
    serif = line((start[0] + choices.around(-0.02, 0.06), start[1] + choices.between(0.06, 0.32)), tuple(start))
    return Skeleton([joined(serif, *seven.strokes)], seven.beak)
