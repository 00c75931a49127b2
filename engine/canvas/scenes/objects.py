"""Erases what lies beside the digit: pens and fingers at the picture's edge, punch holes, the comb of a form field.

None of them is writing, but each may have more ink than the digit. They are only erased beside a component that may be
a digit: large enough, and not itself at the edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import LEFT, PART, RIGHT, ROW

_DIGIT_SIDE = 0.18  # of the picture's shorter side, at least
_DIGIT_MASS = 0.04  # of the largest component's
_OBJECTS_MAX = 4  # at the edge; more are a texture,
_INK_MAX = 0.35  # and so is more ink, of the picture
_FULL = 0.7  # mean ink of a digit's pixels: less is a texture, too
_NEAR = 0.1  # of the digit's longer side: what is nearer may belong to it
_COMB_WIDE = 1.3  # times its height
_COMB_SIDE = 0.4  # of the picture's width
_COMB_WIDER = 1.6  # times the widest of the others
_COMB_LINE = 0.6  # of its width is ink in each row of its line
_COMB_THIN = 0.06  # of its width: the height of its line, at most
_SIDE_TEETH = 2  # at least, if others are almost as wide
_TEETH = 3  # at least, if nothing else is there
_TOOTH_PX = 3  # width of a tooth, at most,
_TOOTH = 0.3  # or this part of its height
_COMB_STRAIGHT = 0.85  # of its width is one straight line
_HOLE_ROUND = (0.7, 0.58)  # of a punch hole: shorter to longer side, mass to box
_HOLE_SIDE = 0.35  # of the digit's longer side, at most
_HOLE_MARGIN = 0.2  # of the picture's side: holes are nearer to the edge


def erase_combs(
    ink: NDArray[np.float32], boxes: NDArray[np.int32], masses: NDArray[np.float32], runs: NDArray[np.int32]
) -> bool:
    """Erase combs, in place, and keep digits that touch them; return whether there is one.

    A comb is wider than high, and straight over almost all its width. Its teeth stand on that line; a digit that
    touches the line is wider than a tooth.

    Parameters
    ----------
    ink : (h, w) float32
    boxes : (c, 4) int32
    masses : (c,) float32
    runs : (r, 5) int32
        Of one picture, from `engine.canvas.components.find_components`.
    """
    spans = boxes[:, 2:] - boxes[:, :2]
    straight = np.zeros(len(boxes), np.int32)
    np.maximum.at(straight, runs[:, PART], runs[:, RIGHT] - runs[:, LEFT])
    may_be = (straight >= _COMB_STRAIGHT * spans[:, 1]) & (spans[:, 1] >= _COMB_WIDE * spans[:, 0])
    is_changed = False
    for part in np.flatnonzero(may_be & (spans[:, 1] >= _COMB_SIDE * ink.shape[1])).tolist():
        others = np.delete(np.arange(len(boxes)), part)
        others = others[masses[others] >= _DIGIT_MASS * masses[part]]
        own = runs[runs[:, PART] == part]
        teeth, rest = _comb_pieces(own, boxes[part])
        is_wide = len(others) and spans[part, 1] >= _COMB_WIDER * spans[others, 1].max()
        if (
            rest.all()
            or (len(others) and not is_wide and np.count_nonzero(teeth) < _SIDE_TEETH)
            or (len(others) == 0 and (np.count_nonzero(teeth) < _TEETH or not rest.any()))
        ):
            continue
        is_changed |= erase(ink, own[~rest])
    return is_changed


def _comb_pieces(runs: NDArray[np.int32], box: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pieces beside a comb's line are teeth, and which of its runs are neither line nor teeth."""
    top, left, bottom, right = box
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for run in runs:
        mask[run[ROW] - top, run[LEFT] - left : run[RIGHT] - left] = 1
    line = np.count_nonzero(mask, axis=1) >= _COMB_LINE * mask.shape[1]
    if np.count_nonzero(line) > max(2, _COMB_THIN * mask.shape[1]):
        return np.zeros(0, np.bool_), np.ones(len(runs), np.bool_)
    mask[line] = 0
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    widths, heights = stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT]
    teeth = (widths <= np.maximum(_TOOTH_PX, _TOOTH * heights)) | (heights <= _TOOTH_PX)
    is_rest = np.concatenate([[False], ~teeth])
    rest = np.array([is_rest[labels[run[ROW] - top, run[LEFT] - left]] for run in runs], np.bool_)
    return teeth, rest


def find_objects(
    sides: tuple[int, int], boxes: NDArray[np.int32], masses: NDArray[np.float32], runs: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Find pens and fingers at the edge, and punch holes.

    Parameters
    ----------
    sides
        Height and width of the picture.
    boxes : (c, 4) int32
    masses : (c,) float32
    runs : (r, 5) int32
        Of its components.

    Returns
    -------
    objects : (c,) bool
        All False if no component may be the digit.
    """
    height, width = sides
    at_rim = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == height) | (boxes[:, 3] == width)
    spans = boxes[:, 2:] - boxes[:, :2]
    longest = spans.max(axis=1)
    digits = ~at_rim & (longest >= _DIGIT_SIDE * min(sides)) & (masses >= _DIGIT_MASS * masses.max(initial=0))
    if not digits.any():
        return np.zeros(len(masses), np.bool_)
    digit = int(np.where(digits, masses, 0).argmax())
    own = runs[runs[:, PART] == digit]
    if masses[digit] < _FULL * (own[:, RIGHT] - own[:, LEFT]).sum():
        return np.zeros(len(masses), np.bool_)
    far = _gaps(boxes, digit) > max(2, _NEAR * longest[digit])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array(sides)
    in_margin = ((middles < _HOLE_MARGIN) | (middles > 1 - _HOLE_MARGIN)).any(axis=1)
    is_round = spans.min(axis=1) >= _HOLE_ROUND[0] * longest
    is_round &= masses >= _HOLE_ROUND[1] * spans.prod(axis=1)
    holes = is_round & in_margin & (longest <= _HOLE_SIDE * longest[digit])
    objects: NDArray[np.bool_] = far & (at_rim | holes)
    if np.count_nonzero(far & at_rim) > _OBJECTS_MAX or masses.sum() > _INK_MAX * height * width:
        return np.zeros(len(masses), np.bool_)
    return objects


def _gaps(boxes: NDArray[np.int32], digit: int) -> NDArray[np.int32]:
    """Return the distance of each box from the digit's, in px, along the axis where it is longer."""
    before = boxes[digit, :2] - boxes[:, 2:]
    after = boxes[:, :2] - boxes[digit, 2:]
    gaps: NDArray[np.int32] = np.maximum(before, after).max(axis=1)
    return gaps


def erase(ink: NDArray[np.float32], runs: NDArray[np.int32]) -> bool:
    """Erase runs and their soft edges, in place; return whether there are any."""
    for run in runs:
        row = slice(max(0, run[ROW] - 1), run[ROW] + 2)
        ink[row, max(0, run[LEFT] - 2) : run[RIGHT] + 2] = 0
    return len(runs) > 0
