"""Any picture to the 28x28 digit that the model knows, as small steps that can be looked at one by one.

flatten, reduce, project  `engine.planes`: alpha, size, colour  → grey planes
find_ink                  `engine.paper`: polarity, shading, contrast, noise → 0 paper, 1 ink
keep_strokes              `engine.strokes`: lines, frames, specks → what is the digit's
fit                       `engine.fit`: 20 px box, centre of mass → the digit

A large picture is looked at twice: small and whole, to find the ink; then only there, as sharp as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.fit import fit
from engine.paper import find_ink
from engine.picture import Picture
from engine.planes import flatten, project, reduce
from engine.strokes import keep_strokes

EVIDENCE: Final = (
    "contrast: height of full ink over the paper, of the grey scale",
    "noise: standard deviation of the paper, of the contrast",
    "unevenness: range of the paper's surface, of the contrast",
    "components: how many have significant mass (at most 10)",
    "second: mass of the second largest component, of the largest's",
    "kept: ink that was kept, of all ink",
    "coverage: part of the box that is ink",
    "rim: kept ink at the picture's edge",
    "level: mean level of what counts as ink",
    "edge: part of the ink that is a stroke's edge",
    "erased: ink erased as lines or a frame, of all ink",
    "aspect: logarithm of the box's width to its height",
)
"""What the columns of `Canvas.evidence` mean."""

_MARGIN = 0.35  # of the longer side of the ink's box is looked at around it
_CLOSER = 0.6  # of the picture's longer side: a smaller region is worth a second look


class Canvas(NamedTuple):
    """What is known of n pictures."""

    digits: NDArray[np.float32]
    """(n, 28, 28), 0 paper to 1 ink, centred by mass; blank where a picture has no ink."""
    evidence: NDArray[np.float32]
    """(n, 12), see `EVIDENCE`: what the digit alone does not show any more."""


def normalise(pictures: Sequence[Picture]) -> Canvas:
    """Bring pictures to the form that the model knows; each is treated alone, whatever else is in the batch.

    Parameters
    ----------
    pictures
        May be empty; any sizes and channels.
    """
    views = [_view(flatten(picture.pixels)) for picture in pictures]
    planes = project(views)
    ink, paper_facts = find_ink(planes)
    strokes, boxes, stroke_facts = keep_strokes(ink)
    return Canvas(fit(strokes, boxes), _evidence(paper_facts, stroke_facts, boxes))


def digits(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the digits alone, (n, 28, 28)."""
    return normalise(pictures).digits


def _view(flat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Choose the part of a large picture that holds the ink, at most 128 px wide and high."""
    small = reduce(flat)
    if small is flat:
        return flat
    _, boxes, _ = keep_strokes(find_ink(project([small]))[0])
    top, left, bottom, right = (int(edge) for edge in boxes[0])
    margin = 2 + int(_MARGIN * max(bottom - top, right - left))
    top, left = max(0, top - margin), max(0, left - margin)
    bottom, right = bottom + margin, right + margin
    if max(bottom - top, right - left) > _CLOSER * max(small.shape[:2]) or bottom == 0:
        return small
    down, across = flat.shape[0] / small.shape[0], flat.shape[1] / small.shape[1]
    return reduce(flat[int(top * down) : int(bottom * down), int(left * across) : int(right * across)])


def _evidence(
    paper: NDArray[np.float32], strokes: NDArray[np.float32], boxes: NDArray[np.int64]
) -> NDArray[np.float32]:
    contrast = np.maximum(paper[:, :1], 1 / 255)
    height, width = np.maximum(1, boxes[:, 2] - boxes[:, 0]), np.maximum(1, boxes[:, 3] - boxes[:, 1])
    strokes[:, 0] = np.minimum(strokes[:, 0], 10)
    strokes[:, 3] /= height * width
    aspect = np.log(width / height)[:, None]
    return np.concatenate([paper[:, :1], paper[:, 1:3] / contrast, strokes, aspect], axis=1).astype(np.float32)
