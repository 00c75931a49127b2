"""Turns any picture into the 28x28 digit that the model expects, in small steps that can be inspected separately.

==================  ======================  =====================================================
flatten, reduce,    `engine.canvas.planes`         alpha, size, colour: grey planes of at most 128 px
project
find_levels         `engine.canvas.levelling`          even paper, and where its sheet lies
remove_paper        `engine.canvas.background`          uneven paper: a surface through it; relief over the paper
find_ink            `engine.canvas.ink`            noise, polarity, contrast: 0 paper, 1 ink
find_components     `engine.canvas.components`     connected components of the ink
erase_lines         `engine.canvas.ruling`          ruled lines, frames, dark edges
keep_strokes        `engine.canvas.strokes`        separates the digit's strokes from dirt
centre_digits             `engine.canvas.centring`            20 px box, centre of mass: the digit
==================  ======================  =====================================================

A large picture is processed twice: first the whole picture, reduced, to find the ink; then the region of the ink at
full resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.canvas.background import remove_paper
from engine.canvas.centring import SIDE_PX, centre_digits
from engine.canvas.components import find_components
from engine.canvas.ink import find_ink
from engine.canvas.levelling import find_levels
from engine.canvas.planes import PLANE_MAX_PX, flatten, project, reduce
from engine.canvas.ruling import erase_lines
from engine.canvas.strokes import keep_strokes
from engine.codecs.decode import Picture

EVIDENCE: Final = (
    "contrast: height of full ink over the paper, of the grey scale",
    "noise: standard deviation of the paper, of the contrast",
    "unevenness: range of the paper's surface, of the contrast",
    "erased: ink erased as lines or a frame, of all ink",
    "components: how many have significant mass (at most 10)",
    "second: mass of the second largest component, of the largest's",
    "kept: ink that was kept, of all ink",
    "coverage: part of the box that is ink",
    "rim: kept pixels at the picture's edge, of all kept",
    "level: mean level of the kept pixels",
    "outline: px of outline for each kept pixel",
    "aspect: logarithm of the box's width to its height",
)
"""What the columns of `Canvas.evidence` mean."""

_GROUP_PX = 48 * 1024  # pixels of planes in one group
_GREY_NDIM = 2
_MARGIN = 0.35  # of the longer side of the ink's box is added around it
_CROP_MAX = 0.6  # of the picture's longer side: a smaller region is processed a second time


class Canvas(NamedTuple):
    """The normalised form of n pictures."""

    digits: NDArray[np.float32]
    """(n, 28, 28), 0 paper to 1 ink, centred by mass; blank where a picture has no ink."""
    evidence: NDArray[np.float32]
    """(n, 12), see `EVIDENCE`: facts about the picture that the digit alone no longer shows."""


def normalise(pictures: Sequence[Picture]) -> Canvas:
    """Normalise pictures to the form that the model expects; no picture affects another one of the batch.

    Parameters
    ----------
    pictures
        May be empty; any sizes and channels.
    """
    digits = np.zeros((len(pictures), SIDE_PX, SIDE_PX), np.float32)
    evidence = np.zeros((len(pictures), len(EVIDENCE)), np.float32)
    for first, last in _groups(pictures):
        _normalise(pictures[first:last], Canvas(digits[first:last], evidence[first:last]))
    return Canvas(digits, evidence)


def digits(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return only the digits of `normalise`, (n, 28, 28)."""
    return normalise(pictures).digits


def _groups(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Split a batch so that the planes of a group fit the processor's cache, and large pictures fit in memory."""
    first, pixels = 0, 0
    for index, picture in enumerate(pictures):
        pixels += min(picture.pixels.shape[0] * picture.pixels.shape[1], PLANE_MAX_PX * PLANE_MAX_PX)
        if pixels >= _GROUP_PX:
            yield first, index + 1
            first, pixels = index + 1, 0
    if first < len(pictures):
        yield first, len(pictures)


def _normalise(pictures: Sequence[Picture], canvas: Canvas) -> None:
    whole = [picture.pixels if picture.pixels.ndim == _GREY_NDIM else flatten(picture.pixels) for picture in pictures]
    small = [reduce(picture) for picture in whole]
    boxes = _normalise_views(small, canvas)
    closer = {
        index: view
        for index, picture in enumerate(whole)
        if small[index] is not picture and (view := _crop_to_ink(picture, small[index], boxes[index])) is not None
    }
    if closer:
        places = list(closer)
        seen = Canvas(np.zeros_like(canvas.digits[places]), np.zeros_like(canvas.evidence[places]))
        _normalise_views(list(closer.values()), seen)
        canvas.digits[places], canvas.evidence[places] = seen


def _normalise_views(views: Sequence[NDArray[np.uint8]], canvas: Canvas) -> NDArray[np.int64]:
    """Run all steps and fill the canvas; return the boxes of the ink, in px of each view."""
    planes = project(views)
    levels, sheets = find_levels(planes)
    ink, unevenness = remove_paper(planes, levels, sheets)
    contrast, noise = find_ink(ink, levels)
    components = find_components(ink)
    erased = erase_lines(ink, components)
    if erased.any():
        components = find_components(ink)
    strokes, boxes, facts = keep_strokes(ink, components)
    centre_digits(strokes, boxes, canvas.digits)
    visible = np.maximum(contrast, 1)
    canvas.evidence[:, :4] = np.stack([contrast / 255, noise / visible, unevenness / visible, erased], axis=1)
    canvas.evidence[:, 4:] = facts
    return boxes


def _crop_to_ink(
    whole: NDArray[np.uint8], small: NDArray[np.uint8], box: NDArray[np.int64]
) -> NDArray[np.uint8] | None:
    """Return the part of the full picture that holds the ink; None if the small view is as sharp."""
    top, left, bottom, right = (int(edge) for edge in box)
    margin = 2 + int(_MARGIN * max(bottom - top, right - left))
    top, left = max(0, top - margin), max(0, left - margin)
    bottom, right = bottom + margin, right + margin
    if max(bottom - top, right - left) > _CROP_MAX * max(small.shape[:2]) or box[2] == 0:
        return None
    down, across = whole.shape[0] / small.shape[0], whole.shape[1] / small.shape[1]
    return reduce(whole[int(top * down) : int(bottom * down), int(left * across) : int(right * across)])
