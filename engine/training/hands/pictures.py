"""Makes encoded pictures of written digits, as people send them.

paint     a picture of about 28 px, black and white, without soft edges
screen    any size, any two shades of grey, somewhere in the picture
mnist     drawn large, then reduced to 28 px
scanned   stretched, with few pixels and few grey levels, by `engine.training.data.handwriting`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from engine.training.curves import Points
from engine.training.data.disturb import encode_jpeg, encode_png
from engine.training.data.handwriting import other_handwriting
from engine.training.hands.pens import Pixels, choose_pen, draw
from engine.training.hands.scans import SCAN_PX

Picture = Callable[[Sequence[Points], np.random.Generator], bytes]
"""Draws strokes and encodes the picture."""
Scanned = Callable[[Pixels, np.random.Generator], bytes]
"""Encodes a scan of (32, 32) as a picture."""

_PAINTED_PX = 28
_PAINT_PX = (12, 25)  # the digit's larger side
_SCREEN_PX = (28, 160)
_LARGE_PX = 80
_SCANNED_PEN_MIN = 0.08
_HALF_THE_TIME = 0.5
_JPEG = 0.25
_CONTRAST_MIN = 90.0
_LEVELS = 16  # of scikit-learn's 8x8 digits: how many of 4x4 pixels are ink
_REDUCED_PX = 8


def painted(strokes: Sequence[Points], rng: np.random.Generator) -> bytes:
    """Draw as Paint does on a picture of about 28 px."""
    side_px = int(rng.integers(*_PAINT_PX))
    ink = draw(strokes, replace(choose_pen(rng, side_px), soft=False), side_px, rng)
    room = [max(0, _PAINTED_PX + int(rng.integers(-4, 5)) - side) for side in ink.shape]
    before = [int(rng.integers(0, side + 1)) for side in room]
    picture = np.pad(ink, [(near, side - near) for near, side in zip(before, room, strict=True)])
    return encode_png(255 - picture if rng.random() < _HALF_THE_TIME else picture)


def on_screen(strokes: Sequence[Points], rng: np.random.Generator) -> bytes:
    """Draw with any two shades of grey on a picture of any size."""
    side_px = round(math.exp(rng.uniform(*np.log(_SCREEN_PX))))
    ink = draw(strokes, choose_pen(rng, side_px), side_px, rng)
    margins = rng.integers(1, max(2, side_px // 2), (2, 2))
    ink = np.pad(ink, margins)
    while True:
        paper, pen = rng.uniform(0, 255, 2)
        if abs(paper - pen) >= _CONTRAST_MIN:
            break
    picture = np.rint(paper + (ink / 255) * (pen - paper)).astype(np.uint8)
    return encode_jpeg(picture, int(rng.integers(60, 96))) if rng.random() < _JPEG else encode_png(picture)


def as_mnist(strokes: Sequence[Points], rng: np.random.Generator) -> bytes:
    """Draw large, and reduce to a box of 20 px in 28."""
    ink = draw(strokes, choose_pen(rng, _LARGE_PX), _LARGE_PX, rng)
    scale = 20 / max(ink.shape)
    size = (max(2, round(ink.shape[1] * scale)), max(2, round(ink.shape[0] * scale)))
    small = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    return encode_png(np.pad(small, 4))


def as_scanned(strokes: Sequence[Points], rng: np.random.Generator) -> bytes:
    """Draw large, and let another scanner stretch, thicken and reduce it; it would lose thin lines."""
    pen = choose_pen(rng, _LARGE_PX)
    pen = replace(pen, width=max(pen.width, _SCANNED_PEN_MIN))
    return other_handwriting(draw(strokes, pen, _LARGE_PX, rng), rng)


PICTURES: Final[tuple[Picture, ...]] = (painted, painted, on_screen, on_screen, as_mnist, as_scanned)
"""Each digit is drawn as one of these."""


def scan_as_it_is(bitmap: Pixels, rng: np.random.Generator) -> bytes:
    """Encode a scan, at one to four times its size."""
    scale = int(rng.integers(1, 5))
    kind = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC]))
    return encode_png(cv2.resize(bitmap, None, fx=scale, fy=scale, interpolation=kind))


def scan_reduced(bitmap: Pixels, _: np.random.Generator) -> bytes:
    """Count the ink in squares of 4x4 pixels: an 8x8 picture of 17 levels."""
    side = SCAN_PX // _REDUCED_PX
    counts = (bitmap > 0).reshape(_REDUCED_PX, side, _REDUCED_PX, side).sum(axis=(1, 3))
    return encode_png(np.rint(counts * (255 / _LEVELS)).astype(np.uint8))


SCAN_PICTURES: Final[tuple[Scanned, ...]] = (scan_as_it_is, scan_reduced, other_handwriting)
"""Each scan is shown as one of these."""
