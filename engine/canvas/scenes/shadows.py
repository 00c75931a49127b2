"""Finds the paper under shadows with an edge, and in close crops, where no smooth surface fits it.

A morphological closing by a square wider than any stroke removes dark ink and keeps what is larger: the paper, with the
edges of its shadows; an opening does the same for bright ink [1]_. It has no model of the light, so it replaces the
fitted surface only where that has taken much more for ink: a shadow, or the paper between the strokes.

References
----------
.. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982: the top-hat transform.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import INK
from engine.canvas.ink import find_ink
from engine.canvas.levelling import UNEVEN
from engine.canvas.planes import Planes, unpacked
from engine.canvas.scenes.turning import RIM_INK, SLIM

_SIDE_MIN_PX = 20
_SQUARE = 0.4  # of the longer side: wider than strokes, narrower than shadows
_CALM_PX = 1.0  # blur before: noise would lift the paper
_BEYOND = 1e4  # darker than any plane
_LEAST_LIGHT = 16.0  # grey levels: deeper shadows hold noise, not ink
_SPAN = 0.82  # of both sides of the picture: the digit fills it
_CLEARLY = 0.4  # of the highest relief
_CONTRAST_MIN = 24  # grey levels: fainter is the paper's grain
_NOISE_MAX = 0.1  # of the contrast
_INK_MIN = 0.005  # of the picture: less is no digit
_FRAMED = 0.85  # of the rim is ink: a frame, or a table around the paper
_HALF_INK = (0.25, 0.75)
_SOFT = 0.6  # of the ink is neither full ink nor paper, at most: strokes in blurred photos have up to 0.55
_SIDE_INK = 0.85  # of a slim picture's side
_SHADOW = 0.12  # of the picture, at least
_LESS = 0.12  # of the ink found here is missing there
_MORE = 0.4  # of the ink is no ink here: the fitted surface has failed


def repair_shadows(
    planes: Planes,
    levels: NDArray[np.float32],
    ink: Planes,
    measured: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> bool:
    """Find the ink again, in place, where the surface through uneven paper has failed; return whether there is such.

    Parameters
    ----------
    planes
        Grey pictures.
    levels : (n,) float32
        From `engine.canvas.levelling.find_levels`: even paper is looked at only if there is ink along the rim.
    ink
        From `engine.canvas.ink.find_ink`.
    measured : three arrays (n,) float32
        Contrast and noise, in place too; and the ink along the rim, from `engine.canvas.scenes.turning.measure_rims`.
    """
    contrasts, noises, rims = measured
    is_changed = False
    for index in np.flatnonzero((levels == UNEVEN) | (rims > RIM_INK)).tolist():
        if rims[index] >= _FRAMED or ink.sides[index].min() < _SIDE_MIN_PX:
            continue
        relief = _relief(unpacked(planes, index) - planes.blacks[index])
        if relief is None:
            continue
        one = Planes(
            relief.ravel(), np.array([0, relief.size]), planes.sides[index : index + 1], np.zeros(1, np.float32)
        )
        contrast, noise = find_ink(one, np.full(1, UNEVEN, np.float32))
        if contrast[0] < _CONTRAST_MIN or noise[0] > _NOISE_MAX * contrast[0] or not _is_written(unpacked(one, 0)):
            continue
        if _is_better(unpacked(one, 0), unpacked(ink, index), bool(levels[index] != UNEVEN)):
            unpacked(ink, index)[:] = unpacked(one, 0)
            contrasts[index], noises[index] = contrast[0], noise[0]
            is_changed = True
    return is_changed


def _is_written(ink: NDArray[np.float32]) -> bool:
    """Return whether the ink is strokes, and not shade on a blank page.

    Most of a stroke is full ink. In a slim picture, a stroke from the top to the bottom has paper on both sides; shade
    lies along one side.
    """
    height, width = ink.shape
    soft = np.count_nonzero((ink > _HALF_INK[0]) & (ink < _HALF_INK[1]))
    if soft > _SOFT * np.count_nonzero(ink > INK):
        return False
    sides = (ink[:, [0, -1]] > INK).mean(axis=0)
    return bool(height <= SLIM * width or sides.max() < _SIDE_INK or sides.min() > 1 - _SIDE_INK)


def _is_better(ink: NDArray[np.float32], before: NDArray[np.float32], is_even: bool) -> bool:  # noqa: FBT001  # of the picture
    """Return whether the ink found here shows that the paper found before is none.

    Either that has taken much for ink which is none; or, in a close crop, it has bent into the strokes. Even paper does
    not bend: there, a shadow is all that can be taken for ink.
    """
    here, there = (ink > INK).astype(np.uint8), (before > INK).astype(np.uint8)
    area, area_before = cv2.countNonZero(here), cv2.countNonZero(there)
    if area < _INK_MIN * here.size:
        return False
    more = cv2.countNonZero(there & ~_widened(here))
    if is_even:
        return more > max(_MORE * area, _SHADOW * here.size)
    if more > _MORE * min(area, area_before):
        return True
    return cv2.countNonZero(here & ~_widened(there)) > _LESS * area and _spans(ink)


def _widened(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 255 on a mask and on the pixels next to it, else 0."""
    widened: NDArray[np.uint8] = cv2.dilate(mask, np.ones((3, 3), np.uint8)) * np.uint8(255)
    return widened


def _relief(plane: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return how far each pixel is above (or below) its paper, as it would be in the brightest light.

    None if it is bright ink that does not fill the picture: that is rare, and many textures look like it.
    """
    calm = cv2.GaussianBlur(plane, (0, 0), _CALM_PX)
    reach = int(_SQUARE * max(plane.shape) / 2)
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    bright = cv2.morphologyEx(calm, cv2.MORPH_CLOSE, square)
    dark = cv2.morphologyEx(calm, cv2.MORPH_OPEN, square)
    # In a close crop, only the ink is one piece from edge to edge. Elsewhere the wrong paper has the ink in it, and is
    # less calm.
    is_dark_ink, is_bright_ink = _spans(bright - calm), _spans(calm - dark)
    is_crop = is_dark_ink or is_bright_ink
    if is_crop and not is_dark_ink:
        above: NDArray[np.float32] = plane - dark
        return above
    if not is_crop:
        if dark.std() < bright.std():
            return None
        bright = _closed_beyond_edges(calm, square, reach)
    light = np.maximum(np.abs(bright), _LEAST_LIGHT)
    below: NDArray[np.float32] = (plane - bright) * (light.max() / light)
    return below


def _closed_beyond_edges(plane: NDArray[np.float32], square: NDArray[np.uint8], reach: int) -> NDArray[np.float32]:
    """Close the plane as if it were as dark beyond its edges as it need be.

    The tip of a shadow that ends at an edge is then kept, too. So would be the bar of a digit that fills its picture.
    """
    beyond = cv2.copyMakeBorder(plane, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=-_BEYOND)
    closed: NDArray[np.float32] = cv2.morphologyEx(beyond, cv2.MORPH_CLOSE, square)
    return closed[reach:-reach, reach:-reach]


def _spans(height: NDArray[np.float32]) -> bool:
    """Return whether one piece of the relief reaches from edge to edge; in a slim picture, from top to bottom."""
    mask = (height > _CLEARLY * height.max()).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    sides = boxes[1:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]]
    spanned = sides >= _SPAN * np.array(mask.shape)
    if mask.shape[0] > SLIM * mask.shape[1]:
        spanned = spanned[:, :1]
    return bool(spanned.all(axis=1).any())
