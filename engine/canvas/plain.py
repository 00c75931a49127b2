"""Normalises plain pictures: small, grey, on even paper, with little ink at their edges, as MNIST's digits are.

They take the steps of `engine.canvas.pipeline` that every picture takes, and no other; here one picture after the other
takes all of them, while it is in the processor's cache. What turns out to be no plain picture is left to the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.canvas.background import subtract_level
from engine.canvas.centring import fit
from engine.canvas.components import join_ink
from engine.canvas.ink import HEIGHTS, turn_to_ink
from engine.canvas.levelling import COUNTS, find_level
from engine.canvas.ruling.erasing import may_have_lines
from engine.canvas.scenes.steps import PLAIN_PX
from engine.canvas.scenes.turning import RIM_INK, measure_rim
from engine.canvas.strokes import keep
from engine.compiled import compiled

_GREY_NDIM: Final = 2
_RUNS_MAX = PLAIN_PX * (PLAIN_PX // 2)  # every other pixel
_FIRST_FACT = 4  # the column of the evidence where the facts begin

Floats = NDArray[np.float32]


def normalise_plain(pictures: Sequence[NDArray[np.uint8]], digits: Floats, evidence: Floats) -> list[int]:
    """Normalise the plain ones of some pictures.

    Parameters
    ----------
    pictures
        Any sizes and channels.
    digits : (n, 28, 28) float32
    evidence : (n, 12) float32
        Output, see `engine.canvas.pipeline.Canvas`. They must be 0 on entry.

    Returns
    -------
    left
        The indices of the other pictures: nothing was written for them.
    """
    shapes = [picture.shape for picture in pictures]
    small = [len(shape) == _GREY_NDIM and shape[0] <= PLAIN_PX and shape[1] <= PLAIN_PX for shape in shapes]
    if not any(small):
        return list(range(len(pictures)))
    places = np.flatnonzero(small)
    # Joined as bytes, since numpy spends more time on each array than on its pixels.
    buffers = [pictures[place] for place in places.tolist()]
    pixels = np.frombuffer(bytearray().join(buffers), np.uint8)  # type: ignore[arg-type]  # an array is a buffer
    sides = np.array([shapes[place] for place in places.tolist()], np.int64)
    is_left = np.ones(len(pictures), np.bool_)
    _normalise((pixels, sides, places), digits, evidence, is_left)
    left: list[int] = np.flatnonzero(is_left).tolist()
    return left


@compiled
def _normalise(
    packed: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]],
    digits: Floats,
    evidence: Floats,
    is_left: NDArray[np.bool_],
) -> None:
    """Normalise pictures whose pixels follow each other; sides and place of each are given."""
    pixels, sides, places = packed
    levels, heights = np.empty(COUNTS, np.int32), np.empty(HEIGHTS, np.int32)
    values = np.empty((2, PLAIN_PX * PLAIN_PX), np.float32)
    runs, boxes = np.empty((_RUNS_MAX, 5), np.int32), np.empty((_RUNS_MAX, 4), np.int32)
    run_masses, masses = np.empty(_RUNS_MAX, np.float32), np.empty(_RUNS_MAX, np.float32)
    sheet, box = np.empty(4, np.int64), np.empty(4, np.int64)
    start = 0
    for index in range(len(places)):
        height, width = sides[index]
        size = height * width
        grey, levels_of = pixels[start : start + size], values[0, :size]
        for at in range(size):
            levels_of[at] = grey[at]
        plane, ink = levels_of.reshape((height, width)), values[1, :size].reshape((height, width))
        start += size
        sheet[0], sheet[1], sheet[2], sheet[3] = 0, 0, height, width
        level = find_level(plane, levels, sheet)
        if level < 0:
            continue
        subtract_level(plane, ink, level, sheet)
        contrast, noise = turn_to_ink(ink, level, heights)
        if measure_rim(ink) > np.float32(RIM_INK):
            continue
        count, parts = join_ink(ink, (runs, run_masses), boxes, masses)
        if may_have_lines(height, width, boxes[:parts]):
            continue
        place = places[index]
        is_left[place] = False
        facts = evidence[place]
        facts[0] = np.float32(contrast) / np.float32(255)
        facts[1] = np.float32(noise) / max(np.float32(contrast), np.float32(1))
        if parts > 0:
            strokes = plane  # its grey levels are no longer needed
            box[:] = 0
            written = runs[:count], run_masses[:count]
            keep((ink, strokes), written, (boxes[:parts], masses[:parts]), box, facts[_FIRST_FACT:])
            fit(strokes, box, digits[place])
