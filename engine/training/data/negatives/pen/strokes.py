"""Letters, signs and characters written with a pen: each a few strokes through points, with an unsteady hand.

A stroke is a text of points ``x,y`` in a box of 10 by 10, y downwards; one that begins with ``~`` is a curve through
its points, any other has corners. The characters of the part for testing are never learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from engine.training.curves import Points, smooth
from engine.training.data.negatives.glyphs import Ink
from engine.training.data.negatives.split import Split

Skeleton = tuple[str, ...]

WRITTEN: Final[Mapping[Split, Mapping[str, Skeleton]]] = MappingProxyType(
    {
        "train": {
            "A": ("1,10 5,0 9,10", "2.5,6.5 7.5,6.5"),
            "C": ("~9,2 6,0 2,1.5 .5,5 2,8.7 6,10 9,8.3",),
            "E": ("8,0 1.5,0 1.5,10 8.5,10", "1.5,5 7,5"),
            "H": ("1.5,0 1.5,10", "8.5,0 8.5,10", "1.5,5 8.5,5"),
            "L": ("2,0 2,10 8.5,10",),
            "N": ("1.5,10 1.5,0 8.5,10 8.5,0",),
            "P": ("2,0 2,10", "~2,0 6.5,.3 8,2.7 6.5,5.2 2,5.5"),
            "U": ("~1.5,0 1.5,6 3,9.3 5,10 7,9.3 8.5,6 8.5,0",),
            "V": ("1,0 5,10 9,0",),
            "W": ("0,0 2.5,10 5,2 7.5,10 10,0",),
            "X": ("1,0 9,10", "9,0 1,10"),
            "Y": ("1,0 5,5 9,0", "5,5 5,10"),
            "d": ("~7.5,5 5,4 2,5 1.3,7.3 2.5,9.7 5.5,9.7 7.7,7", "8,0 8,10"),
            "f": ("~8,1 6,0 4.4,1.2 4.2,4 4.2,10", "1.8,4 7,4"),
            "k": ("2,0 2,10", "7.5,3.7 2,7 8,10"),
            "m": ("0,3 0,10", "~0,5 2,3.3 4.2,4 4.7,6 4.7,10", "~4.7,5.5 7,3.3 9.2,4 9.7,6 9.7,10"),
            "n": ("2,3 2,10", "~2,5.2 4.5,3.2 7,3.8 7.8,6 7.8,10"),
            "r": ("3,3 3,10", "~3,5.5 4.5,3.6 7,3.2 8.2,4"),
            "v": ("1.5,3 5,10 8.5,3",),
            "x": ("1.5,3 8.5,10", "8.5,3 1.5,10"),
            "plus": ("5,.5 5,9.5", ".5,5 9.5,5"),
            "equals": ("1,3.5 9,3.5", "1,6.5 9,6.5"),
            "hash": ("3.3,0 2.4,10", "7.4,0 6.5,10", ".5,3.3 9.5,3.3", ".5,6.7 9.5,6.7"),
            "percent": (
                "8.5,0 1.5,10",
                "~2,1 3.6,1.2 3.5,3.4 1.7,3.5 1.2,2 2,1",
                "~7,6.5 8.8,6.8 8.7,9.3 6.7,9.3 6.3,7.6 7,6.5",
            ),
            "question": ("~2,2.5 3,.5 6,0 8,2 7,4.3 5,5.7 5,7.3", "5,9.5 5,10"),
            "and": ("~9,10 4,4.5 3.2,2 4.8,.4 6.2,1.8 5,4 2,6.5 1.7,8.6 4,10 6.8,8.8 8.6,5.8",),
            "arrow right": ("0,5 10,5", "7,2 10,5 7,8"),
            "arrow down": ("5,0 5,10", "2,7 5,10 8,7"),
            "arrow corner": ("1,0 1,7 9,7", "6.5,4.5 9,7 6.5,9.5"),
            "heart": ("~5,3 3.2,.6 .8,1.4 .5,4 5,10", "~5,3 6.8,.6 9.2,1.4 9.5,4 5,10"),
            "star": ("2,10 5,0 8,10 .3,3.7 9.7,3.7 2,10",),
            "asterisk": ("5,0 5,10", ".7,2.5 9.3,7.5", "9.3,2.5 .7,7.5"),
            "spiral": (
                "~5,5 5.8,4.4 6.4,5.4 5.2,6.6 3.5,5.6 4,3.2 6.6,2.4 8.4,5 7,8.2 3.6,8.8 1,6.2 1.2,2.4 4.4,.2 8.6,.8",
            ),
            "wave": ("~0,6 1.5,3 3.5,3.5 5,6 6.7,7 8.5,6.5 10,3.5",),
            "less": ("9,1 1,5 9,9",),
            "zigzag": ("0,8 2,2 4,8 6,2 8,8 10,2",),
            "house": ("1,10 1,4 5,0 9,4 9,10 1,10",),
            "tree": ("5,10 5,0", "1,8 5,5 9,8", "2,5 5,2 8,5"),
            "fish": ("~10,2 6,7.5 2,7 0,5 2,3 6,2.5 10,8",),
            "envelope": ("0,1.5 10,1.5 10,8.5 0,8.5 0,1.5 5,5.5 10,1.5",),
            "grid": ("3.3,0 3.3,10", "6.7,0 6.7,10", "0,3.3 10,3.3", "0,6.7 10,6.7"),
            "big": ("0,3.5 10,3.5", "~5,0 4.7,4 3,8 .5,10", "~5.2,4 6.6,7.5 9.8,10"),
            "mountain": ("5,0 5,9", "1,4 1,9 9,9 9,4"),
            "sun": ("2,0 2,10 8,10 8,0 2,0", "2,5 8,5"),
            "field": ("1,1 1,9.5 9,9.5 9,1 1,1", "5,1 5,9.5", "1,5.2 9,5.2"),
            "tree han": ("5,0 5,10", "0,3 10,3", "~4.8,3.2 3,6.2 .3,8.5", "~5.2,3.2 7,6.2 9.8,8.5"),
            "king": ("1,.5 9,.5", "1.5,5 8.5,5", ".5,9.5 9.5,9.5", "5,.5 5,9.5"),
            "middle": ("1,2 9,2 9,6 1,6 1,2", "5,0 5,10"),
            "p": ("2,3 2,10", "~2,4.5 4,3 6.5,3.3 7,5 5.5,6.5 2,6.3"),
            "t": ("~4.5,0 4.5,8 6,9.8 8,9", "1.5,3.3 8,3.3"),
            "H joined": ("~1,1 2.5,.5 2.2,5 1.5,10", "~8.5,0 7.6,5 7.4,9.3 9.3,9.3", "~1.8,5.4 5,4.6 7.8,5"),
            "X bowed": ("~1,1 3.5,1.2 6.5,8.8 9,9", "~9,1 6.5,1.2 3.5,8.8 1,9"),
            "A joined": ("~.5,9.5 2.5,9 5.5,.5 6.5,9.5", "~2.8,6 5,5.2 8.5,6"),
            "pi": ("~.5,3 2.5,1.8 9.5,1.8", "~3.3,2 3,7 1.6,10", "~6.8,2 6.6,8.6 8.8,9.8"),
            "lambda": ("~1.5,.3 3,.8 8.8,10", "4.8,4.2 1,10"),
            "sum": ("8.5,1.6 8.5,0 1,0 5,5 1,10 8.5,10 8.5,8.4",),
            "psi": ("~.8,1 1.5,5.4 5,6.6 8.5,5.4 9.2,1", "5,0 5,10"),
            "triangle": ("5,0 9.5,9 .5,9 5,0",),
            "root": ("0,6 1.5,5 3.4,10 5.2,0 10,0",),
            "ditto": ("3.5,1 3,4", "6.8,1 6.3,4", "1,8.6 9,8.6"),
            "ladder": ("2.5,0 2.5,10", "7.5,0 7.5,10", "2.5,2 7.5,2", "2.5,5 7.5,5", "2.5,8 7.5,8"),
            "umbrella": ("~0,5 2,1.3 5,0 8,1.3 10,5", "0,5 10,5", "~5,5 5,8.8 4,10 2.8,9"),
            "anchor": ("5,1 5,10", "2.6,3.2 7.4,3.2", "~.6,6 2,9 5,10 8,9 9.4,6"),
            "bow": ("0,2 10,8 10,2 0,8 0,2",),
        },
        "test": {
            "F": ("8.5,0 2,0 2,10", "2,4.8 7,4.8"),
            "K": ("2,0 2,10", "8.5,0 2,5.5 8.7,10"),
            "M": ("1,10 1,0 5,6 9,0 9,10",),
            "R": ("2,10 2,0", "~2,0 6.5,.3 8,2.5 6.5,5 2,5.3", "4.5,5.2 8.5,10"),
            "T": ("0.7,0 9.3,0", "5,0 5,10"),
            "e": ("~1.5,6.5 8.5,6.3 8,4 5,3 2,4.3 1.3,7 3,9.6 6,10 8.6,8.7",),
            "h": ("2,0 2,10", "~2,5.8 4.5,4 7,4.6 7.8,6.5 7.8,10"),
            "u": ("~1.8,3 1.8,7.5 3.5,9.8 6,9.4 8,7", "8,3 8,10"),
            "w": ("0,3 2.5,10 5,4.5 7.5,10 10,3",),
            "check": ("0,5.5 3.5,10 10,0",),
            "times in box": ("0,0 10,0 10,10 0,10 0,0", "2,2 8,8", "8,2 2,8"),
            "euro": ("~9,1.8 6.2,0 3,1.8 2,5 3,8.2 6.2,10 9,8.3", ".3,4 6.5,4", ".3,6 6.2,6"),
            "note": ("3.3,8.6 3.3,0 8,2.4", "~3.3,8.6 1.7,7.9 .4,8.9 1.3,10 2.9,9.8 3.3,8.6"),
            "smile": (
                "~5,0 8.5,1.5 10,5 8.5,8.5 5,10 1.5,8.5 0,5 1.5,1.5 5,0",
                "3.4,3 3.4,4",
                "6.6,3 6.6,4",
                "~2.6,6.3 4,7.8 6,7.8 7.4,6.3",
            ),
            "divide": (".5,5 9.5,5", "5,1.6 5,2.1", "5,8 5,8.5"),
            "arrow left": ("10,5 0,5", "3,2 0,5 3,8"),
            "arrow double": ("0,5 10,5", "2.5,2.5 0,5 2.5,7.5", "7.5,2.5 10,5 7.5,7.5"),
            "flower": ("~5,5 3,1 7,1 5,5 9,3.2 9,7 5,5 7,9.3 3,9.3 5,5 .8,7 .8,3.2 5,5",),
            "cube": ("0,3 7,3 7,10 0,10 0,3 3,0 10,0 10,7 7,10", "7,3 10,0"),
            "stairs": ("0,10 0,7.5 2.5,7.5 2.5,5 5,5 5,2.5 7.5,2.5 7.5,0 10,0",),
            "person": ("~5,4.6 2.4,8 0,10", "5,0 5,4.6", "~5,4.6 7.4,8 10,10"),
            "moon": ("1.6,0 8.4,0 8.4,10", "~1.6,0 1.6,6 .2,10", "1.6,3.2 8.4,3.2", "1.6,6.4 8.4,6.4"),
            "water": ("5,0 5,10 3.6,8.8", "~.6,3 3.8,3 2.6,6.2 .2,8.6", "~9,1.6 7,4 5.4,4.6 7.2,7.2 9.9,9"),
            "earth": ("1.6,3.8 8.4,3.8", "0,9.7 10,9.7", "5,0 5,9.7"),
            "woman": ("~4.6,0 3.4,4.4 2,6.6 5.6,8 8.6,10", "~7,3 5.6,7 1,10", "0,3.2 10,3.2"),
            "gate": ("1,10 1,0 4,0 4,4 1,4", "9,10 9,0 6,0 6,4 9,4", "1,2 4,2", "6,2 9,2"),
        },
    }
)

_FIXED_POINT: Final = 4  # bits of a coordinate after the point, for OpenCV
_SIDE_PX: Final = 96
_UNSTEADY: Final = 0.35  # standard deviation of a point, of the box of 10
_CURVE: Final = "~"
_PENS: Final = (math.log(1 / 50), math.log(1 / 4))


def written(split: Split, rng: np.random.Generator) -> Ink:
    """Write one of the characters: unsteady, slanted, in other proportions, with a pen of any width."""
    characters = sorted(WRITTEN[split])
    return write(WRITTEN[split][characters[int(rng.integers(len(characters)))]], rng)


def write(skeleton: Skeleton, rng: np.random.Generator) -> Ink:
    """Write one skeleton."""
    slant, turn = rng.normal(0, 0.12), np.deg2rad(rng.normal(0, 6))
    wide = np.exp(rng.normal(-0.1, 0.15))
    shape = np.array([[wide, slant], [0, 1]]) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tracks = []
    for stroke in skeleton:
        points = np.array([point.split(",") for point in stroke.lstrip(_CURVE).split()], np.float64) - 5
        points += rng.normal(0, _UNSTEADY, points.shape)
        tracks.append((smooth(points) if stroke.startswith(_CURVE) else points) @ shape.T)
    extent = max(float(np.ptp(np.concatenate(tracks), axis=0).max()), 1.0)
    return pen([track * (_SIDE_PX / extent) for track in tracks], pen_px(rng, _SIDE_PX))


def pen_px(rng: np.random.Generator, side_px: int) -> int:
    """Choose the width of a pen: from a fiftieth to a quarter of the side, thin ones as often as wide ones."""
    return round(side_px * math.exp(rng.uniform(*_PENS)))


def pen(tracks: list[Points], width_px: int) -> Ink:
    """Draw tracks with a round pen, on as much paper as they need."""
    every = np.concatenate(tracks)
    low, high = every.min(axis=0) - width_px, every.max(axis=0) + width_px
    size = np.ceil(high - low).astype(int) + 1
    picture = np.zeros((size[1], size[0]), np.uint8)
    for track in tracks:
        points = np.rint((track - low) * (1 << _FIXED_POINT)).astype(np.int32)
        cv2.polylines(
            picture, [points], isClosed=False, color=255, thickness=width_px, lineType=cv2.LINE_AA, shift=_FIXED_POINT
        )
    return picture.astype(np.float32) / np.float32(255)
