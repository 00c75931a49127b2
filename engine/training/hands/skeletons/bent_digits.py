"""2, 3 and 5, the digits with bows and corners."""

from __future__ import annotations

from engine.training.curves import Points, curve, joined, line
from engine.training.hands.choices import Choices
from engine.training.hands.skeletons.skeleton import Skeleton


def plain_two(choices: Choices) -> Skeleton:
    """Draw a bow, a diagonal, and a level base."""
    bow, left = _bow_of_two(choices)
    return Skeleton([joined(bow, _base(choices, left))])


def looped_two(choices: Choices) -> Skeleton:
    """Draw a 2 with a small loop between diagonal and base."""
    bow, left = _bow_of_two(choices)
    wide, high = choices.between(0.06, 0.2), choices.between(0.06, 0.18)
    loop = curve(
        tuple(bow[-2]),
        left,
        (left[0] - wide, left[1] - high * 0.3),
        (left[0] - wide * 0.4, left[1] - high),
        (left[0] + wide, left[1] - high * 0.4),
        (left[0] + wide + choices.between(0.1, 0.25), left[1] + choices.around(0, 0.03)),
        (left[0] + choices.between(0.5, 0.8), left[1] - choices.around(0.03, 0.08)),
    )
    return Skeleton([joined(bow[:-2], loop)])


def angular_two(choices: Choices) -> Skeleton:
    """Draw a 2 of straight lines, as a Z with a short beginning; a level top alone would be a Z."""
    width = choices.between(0.4, 0.7)
    start = (choices.around(0, 0.06), choices.between(0.12, 0.28))
    top = (width * choices.between(0.4, 0.65), 0.0)
    right = (width, choices.between(0.16, 0.32))
    return Skeleton(
        [line(start, top, right, (0.0, 1.0), (width * choices.between(0.9, 1.3), 1.0 + choices.around(0, 0.04)))]
    )


def wavy_two(choices: Choices) -> Skeleton:
    """Draw a 2 whose base is a wave, as a swan."""
    bow, left = _bow_of_two(choices)
    wave = choices.between(0.04, 0.12)
    right = left[0] + choices.between(0.5, 0.8)
    base = curve(
        left,
        (left[0] + (right - left[0]) * 0.3, left[1] - wave),
        (left[0] + (right - left[0]) * 0.7, left[1] + wave * 0.3),
        (right, left[1] - wave),
    )
    return Skeleton([joined(bow, base)])


def round_three(choices: Choices) -> Skeleton:
    """Draw two bows that meet in a point, deep or shallow."""
    waist = choices.between(0.38, 0.52)
    return Skeleton([joined(_upper_bow(choices, waist), _lower_bow(choices, waist))])


def flat_topped_three(choices: Choices) -> Skeleton:
    """Draw a level top, a diagonal, and one bow."""
    width = choices.between(0.36, 0.6)
    waist = choices.between(0.34, 0.5)
    neck = (width * choices.between(0.25, 0.55), waist)
    top = line((choices.around(0, 0.05), choices.around(0, 0.05)), (width, 0.0), neck)
    radius = choices.between(0.24, 0.4)
    bow = curve(
        neck,
        (neck[0] + radius, waist + (1 - waist) * choices.between(0.3, 0.55)),
        (neck[0] + radius * choices.around(0.0, 0.25), 1.0),
        (neck[0] - radius * choices.between(0.7, 1.3), choices.between(0.76, 0.94)),
    )
    return Skeleton([joined(top, bow)])


def three_with_loop(choices: Choices) -> Skeleton:
    """Draw two bows with a small loop between them."""
    waist = choices.between(0.4, 0.52)
    size = choices.between(0.06, 0.14)
    upper, lower = _upper_bow(choices, waist), _lower_bow(choices, waist)
    at = upper[-1]
    loop = curve(
        tuple(at), (at[0] - size, waist + size * 0.4), (at[0] - size * 0.9, waist - size * 0.5), tuple(lower[1])
    )
    return Skeleton([joined(upper, loop, lower[2:])])


def plain_five(choices: Choices) -> Skeleton:
    """Draw neck and bow, and the hat as a second stroke, which may not touch."""
    body, corner = _body_of_five(choices)
    gap = (choices.between(-0.03, 0.08), choices.around(0, 0.05))
    end = (corner[0] + choices.between(0.3, 0.62), corner[1] - choices.around(0.03, 0.09))
    return Skeleton([body, line((corner[0] + gap[0], corner[1] + gap[1]), end)])


def five_in_one_stroke(choices: Choices) -> Skeleton:
    """Draw a 5 from the end of its hat, without lifting the pen."""
    body, corner = _body_of_five(choices)
    end = (corner[0] + choices.between(0.3, 0.62), corner[1] - choices.around(0.02, 0.07))
    return Skeleton([joined(line(end, corner), body)])


def curved_five(choices: Choices) -> Skeleton:
    """Draw a 5 whose hat and neck are one bend, as an S with a level top."""
    width = choices.between(0.38, 0.6)
    neck = choices.between(0.36, 0.48)
    return Skeleton(
        [
            curve(
                (width, choices.around(0.02, 0.04)),
                (width * 0.45, choices.around(0.01, 0.03)),
                (choices.around(0.03, 0.03), choices.between(0.06, 0.14)),
                (choices.around(0.0, 0.04), neck),
                (width * 0.55, neck - choices.around(0.01, 0.05)),
                (width * choices.between(0.9, 1.15), (1 + neck) / 2),
                (width * 0.45, 1.0),
                (choices.around(-0.06, 0.08), choices.between(0.82, 0.96)),
            )
        ]
    )


def _bow_of_two(choices: Choices) -> tuple[Points, tuple[float, float]]:
    """Draw the upper part of a 2, down to its lower left corner, which is returned, too."""
    width = choices.between(0.36, 0.64)
    left = (choices.around(-0.02, 0.06), 1.0)
    bow = curve(
        (choices.around(0.02, 0.05), choices.between(0.12, 0.32)),
        (width * choices.between(0.35, 0.6), 0.0),
        (width, choices.between(0.2, 0.34)),
        (width * choices.between(0.4, 0.65), choices.between(0.58, 0.7)),
        left,
    )
    return bow, left


def _base(choices: Choices, left: tuple[float, float]) -> Points:
    return line(left, (left[0] + choices.between(0.35, 0.85), left[1] + choices.around(0, 0.06)))


def _upper_bow(choices: Choices, waist: float) -> Points:
    width = choices.between(0.3, 0.52)
    return curve(
        (choices.around(0.0, 0.06), choices.between(0.04, 0.2)),
        (width * 0.55, 0.0),
        (width, waist * choices.between(0.4, 0.6)),
        (width * choices.between(0.25, 0.65), waist),
    )


def _lower_bow(choices: Choices, waist: float) -> Points:
    width = choices.between(0.34, 0.6)
    return curve(
        (width * choices.between(0.25, 0.6), waist + choices.around(0.0, 0.02)),
        (width, waist + (1 - waist) * choices.between(0.4, 0.6)),
        (width * 0.5, 1.0),
        (choices.around(-0.05, 0.09), choices.between(0.78, 0.95)),
    )


def _body_of_five(choices: Choices) -> tuple[Points, tuple[float, float]]:
    """Draw neck and bow of a 5; return its upper left corner, too."""
    corner = (choices.around(0.04, 0.07), 0.0)
    neck = (choices.around(0.0, 0.06), choices.between(0.34, 0.5))
    radius = choices.between(0.32, 0.56)
    rise = choices.around(0.04, 0.08)
    bow = curve(
        neck,
        (neck[0] + radius * 0.5, neck[1] - rise),
        (neck[0] + radius, neck[1] + (1 - neck[1]) * choices.between(0.4, 0.6)),
        (neck[0] + radius * 0.45, 1.0),
        (choices.around(-0.06, 0.1), choices.between(0.8, 0.95)),
    )
    return joined(line(corner, neck), bow), corner
