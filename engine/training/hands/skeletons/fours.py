"""4: open, closed, with a rounded left side, and as a lightning."""

from __future__ import annotations

from engine.training.curves import Points, curve, joined, line
from engine.training.hands.choices import Choices
from engine.training.hands.skeletons.skeleton import Skeleton


def open_four(choices: Choices) -> Skeleton:
    """Draw a line down and to the right, and a stem that crosses it; the top stays open."""
    top_left = (choices.between(-0.45, -0.15), choices.around(0.02, 0.12))
    bend = (choices.between(-0.65, -0.4), choices.between(0.5, 0.68))
    end = (choices.between(0.08, 0.32), bend[1] + choices.around(0, 0.07))
    return Skeleton([line(top_left, bend, end), _stem(choices, choices.between(0.0, 0.3))])


def rounded_four(choices: Choices) -> Skeleton:
    """Draw an open 4 whose left side is a curve, as in cursive hands."""
    top_left = (choices.between(-0.5, -0.3), choices.around(0.02, 0.08))
    turn = (choices.between(-0.48, -0.3), choices.between(0.42, 0.55))
    end = (choices.between(0.0, 0.25), turn[1] + choices.around(0.0, 0.08))
    left = curve(top_left, (turn[0] - 0.04, turn[1] * 0.6), turn, (turn[0] + 0.2, turn[1] + 0.05), end)
    return Skeleton([left, _stem(choices, choices.between(0.0, 0.15))])


def closed_four(choices: Choices) -> Skeleton:
    """Draw a triangle with a stem, in one stroke or in two."""
    left = (choices.between(-0.75, -0.48), choices.between(0.52, 0.72))
    right = (choices.between(0.05, 0.32), left[1] + choices.around(0, 0.06))
    apex = (choices.around(0.0, 0.05), 0.0)
    foot = (choices.around(-0.03, 0.12), 1.0)
    if choices.happens(0.5):
        return Skeleton([line(apex, left, right), line(apex, foot)])
    return Skeleton([joined(line(left, right)), joined(line(left, apex), line(apex, foot))])


def lightning_four(choices: Choices) -> Skeleton:
    """Draw a slanting line, a level one, and from inside of its end a stem down from the middle, as a lightning."""
    top = (choices.between(-0.2, 0.1), 0.0)
    left = (choices.between(-0.6, -0.4), choices.between(0.5, 0.68))
    right = (choices.between(0.15, 0.35), left[1] + choices.around(-0.02, 0.07))
    start = (choices.around(0.0, 0.08), left[1] - choices.between(0.1, 0.32))
    return Skeleton([line(top, left, right), line(start, (start[0] + choices.around(-0.06, 0.08), 1.0))])


def _stem(choices: Choices, top: float) -> Points:
    at = choices.around(0.0, 0.06)
    return line((at + choices.around(0.03, 0.1), top), (at + choices.around(-0.04, 0.12), 1.0))
