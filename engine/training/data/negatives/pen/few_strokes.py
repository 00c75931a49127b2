"""Signs of one to four strokes by program: learned only, with random parameters, so that no two are alike.

rays      two to six strokes from one point, or three that meet like a Y in any direction
parallel  two to five level or slanting lines, perhaps with one or two across
angles    brackets, corners and arrow heads, alone or in pairs, turned anyhow
arrows    a straight or bent shaft with a head
waves     two to five bows or teeth in a row
loops     two to four loops in a row, as in joined writing
spread    two to four short strokes, hooks and dots that lie apart

Left out is what a digit may be: a single bar, hook, bow or ring, two strokes that make a 4 or a 7, and loops above one
another. The signs that are only measured are in none of these families on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from engine.training.curves import Points, arc, smooth
from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.pen.strokes import pen, pen_px

_SIDE_PX: Final = 96
_PEN_MAX_PX: Final = 16  # a wider one fills what lies between the strokes
_UNSTEADY: Final = 0.015
_HALF: Final = 0.5

Family = Callable[[np.random.Generator], list[Points]]


def few_strokes(rng: np.random.Generator) -> Ink:
    """Write one sign of a family that is drawn at random, 0 paper, 1 ink."""
    names = sorted(FAMILIES)
    tracks = FAMILIES[names[int(rng.integers(len(names)))]](rng)
    squeeze = np.array([np.exp(rng.normal(0, 0.12)), 1.0])
    unsteady = [(track + rng.normal(0, _UNSTEADY, track.shape)) * squeeze for track in tracks]
    extent = max(float(np.ptp(np.concatenate(unsteady), axis=0).max()), 0.1)
    return pen([track * (_SIDE_PX / extent) for track in unsteady], min(_PEN_MAX_PX, pen_px(rng, _SIDE_PX)))


def _turn(track: Points, degrees: float) -> Points:
    angle = np.deg2rad(degrees)
    turned: Points = track @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return turned


def _rays(rng: np.random.Generator) -> list[Points]:
    """Cross strokes in one point, or let three meet there."""
    if rng.random() < _HALF:
        count, first = int(rng.integers(2, 5)), rng.uniform(0, 180)
        reach = 1 if count > 2 else rng.uniform(0.6, 1.0)  # noqa: PLR2004  # two of them make a cross
        lines = [_turn(np.array([[-1.0, 0.0], [1.0, 0.0]]), first + 180 * place / count) for place in range(count)]
        return [lines[0] * reach, *lines[1:]]
    first = rng.uniform(0, 360)
    ends = first + np.array([0, 120, 240]) + rng.uniform(-20, 20, 3)
    return [_turn(np.array([[0.0, 0.0], [rng.uniform(0.7, 1), 0.0]]), end) for end in ends]


def _parallel(rng: np.random.Generator) -> list[Points]:
    """Draw lines side by side, some of them with others across."""
    count, across = int(rng.integers(2, 6)), int(rng.integers(0, 3))
    turned = rng.choice([0.0, 90.0, rng.uniform(0, 180)]) + rng.normal(0, 4)
    levels = np.linspace(-1, 1, count) * rng.uniform(0.3, 0.9)
    lines = [np.array([[-1.0, level], [1.0, level]]) * np.array([rng.uniform(0.7, 1), 1]) for level in levels]
    if count > 2:  # noqa: PLR2004  # two with one across may be a 4 or an H
        places = rng.uniform(-0.7, 0.7, across)
        lines += [np.array([[place, -1.1], [place + rng.normal(0, 0.1), 1.1]]) for place in places]
    return [_turn(line, turned) for line in lines]


def _angles(rng: np.random.Generator) -> list[Points]:
    """Draw brackets, corners or arrow heads: two beside one another, or one that opens to a side or upwards."""
    wide = rng.uniform(0.3, 0.9)
    shapes = (
        np.array([[wide, -1.0], [0.0, -1.0], [0.0, 1.0], [wide, 1.0]]),  # a square bracket
        np.array([[wide, -1.0], [0.0, 0.0], [wide, 1.0]]),  # an angle
        smooth(np.array([[wide, -1.0], [wide / 2, -0.8], [wide / 2, -0.2], [0.0, 0.0]])),  # half a brace
    )
    shape = shapes[int(rng.integers(len(shapes)))]
    if len(shape) > 4:  # noqa: PLR2004  # the other half of the brace
        shape = np.concatenate([shape, (shape * np.array([1, -1]))[::-1]])
    gap = rng.uniform(0.5, 1.2)
    way = int(rng.integers(3))
    if way == 0:  # facing one another, or back to back
        sign = rng.choice([-1.0, 1.0])
        return [(shape - np.array([gap * sign + wide, 0])) * np.array([side, 1.0]) for side in (1, -1)]
    if way == 1:  # one after another
        return [(shape + np.array([place * gap * 0.6, 0])) for place in range(int(rng.integers(2, 4)))]
    return [_turn(shapes[0] if rng.random() < _HALF else shapes[1] * np.array([2.0, 1.0]), rng.choice([-90, 0, 90]))]


def _arrows(rng: np.random.Generator) -> list[Points]:
    """Put a head on a shaft that is straight, bent or a corner; sometimes on both of its ends."""
    bend = rng.choice([0.0, rng.uniform(-0.6, 0.6)])
    shaft = smooth(np.array([[-1.0, 0.0], [0.0, bend], [1.0, 0.0]]))
    size, open_by = rng.uniform(0.3, 0.6), rng.uniform(25, 50)
    heading = float(np.rad2deg(np.arctan2(*(shaft[-1] - shaft[-3])[::-1])))
    barb = np.array([[0.0, 0.0], [-size, 0.0]])
    head = np.concatenate([_turn(barb, heading + open_by)[::-1], _turn(barb, heading - open_by)]) + shaft[-1]
    tracks = [shaft, head]
    extra = int(rng.integers(4))
    if extra == 0:  # the other end, too
        tracks.append(head * np.array([-1, 1]))
    elif extra == 1:  # a feather or a bar at the end
        tracks.append(np.array([[-0.9, -0.35], [-0.9 + rng.uniform(-0.2, 0.2), 0.35]]))
    turned = rng.choice([0, 45, 90, 135, 180, 225, 270, 315]) + rng.normal(0, 8)
    return [_turn(track, turned) for track in tracks]


def _waves(rng: np.random.Generator) -> list[Points]:
    """Join bows or teeth in a row, perhaps in two rows."""
    count, high = int(rng.integers(4, 10)), rng.uniform(0.25, 0.8)
    row = np.stack([np.linspace(-1, 1, count), high * np.resize([-1.0, 1.0], count)], axis=1)
    row += rng.normal(0, 0.05, row.shape)
    track = smooth(row) if rng.random() < _HALF else row
    turned = rng.choice([0.0, rng.uniform(-40, 40)])
    rows = 2 if high < _HALF and rng.random() < _HALF else 1
    return [_turn(track + np.array([0, place * 1.1]), turned) for place in range(rows)]


def _loops(rng: np.random.Generator) -> list[Points]:
    """Write loops that follow one another from left to right: tall, flat, or hanging."""
    count, high, step = int(rng.integers(2, 5)), rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.0)
    angle = np.linspace(0, 2 * np.pi * (count + rng.uniform(0, 0.4)), 24 * count)
    x = step * angle / (2 * np.pi) - rng.uniform(0.3, 0.6) * np.sin(angle)
    track = np.stack([x, high * np.cos(angle) * rng.choice([-1.0, 1.0]) / 2], axis=1)
    return [_turn(track, rng.normal(0, 10))]


def _spread(rng: np.random.Generator) -> list[Points]:
    """Lay short strokes, hooks and dots beside one another, each in a place of its own."""
    places = rng.permutation(np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]) * 0.8)
    tracks = []
    for number, place in enumerate(places[: int(rng.integers(2, 5))]):
        # Two at least are no dots: what is left when the canvas removes dots is not alone.
        kind, size = int(rng.integers(3 if number < 2 else 4)), rng.uniform(0.25, 0.45)  # noqa: PLR2004  # as above
        if kind == 0:
            track = np.array([[-size, 0.0], [size, 0.0]])
        elif kind == 1:
            start = rng.uniform(0, 360)
            track = arc((0.0, 0.0), (size, size), start, start + rng.uniform(90, 250))
        elif kind == 2:  # noqa: PLR2004  # a hook
            track = np.array([[-size, -size], [size, -size], [size * rng.uniform(-0.3, 1), size]])
        else:  # a dot
            track = np.array([[0.0, 0.0], [0.03, 0.03]])
        tracks.append(_turn(track, rng.uniform(0, 360)) + place + rng.normal(0, 0.1, 2))
    return tracks


FAMILIES: Final[dict[str, Family]] = {
    "angles": _angles,
    "arrows": _arrows,
    "loops": _loops,
    "parallel": _parallel,
    "rays": _rays,
    "spread": _spread,
    "waves": _waves,
}
