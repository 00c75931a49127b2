"""Turns any picture into the 28x28 digit that the model expects, in small steps that can be inspected separately.

================  ==============================  ==============================================================
flatten, reduce,  `engine.canvas.planes`          alpha, size, colour: grey planes of at most 128 px (wide: 256)
project
find_levels       `engine.canvas.levelling`       even paper, and where its sheet lies
remove_paper      `engine.canvas.background`      uneven paper: a surface through it; relief over the paper
find_ink          `engine.canvas.ink`             noise, polarity, contrast: 0 paper, 1 ink
repair_shadows    `engine.canvas.scenes.shadows`  shadows with an edge, close crops: the paper found again
turn_filled       `engine.canvas.scenes.turning`  ink that was taken for paper
find_components   `engine.canvas.components`      connected components of the ink
find_surfaces     `engine.canvas.scenes.steps`    plates, sheets, boxes: looked at alone; combs
erase_lines       `engine.canvas.ruling.erasing`  ruled lines, frames, dark edges
treat_writing     `engine.canvas.scenes.steps`    objects beside the digit; outlined and dotted digits
keep_strokes      `engine.canvas.strokes`         separates the digit's strokes from dirt
centre_digits     `engine.canvas.centring`        20 px box, centre of mass: the digit
================  ==============================  ==============================================================

Plain pictures take their steps in `engine.canvas.plain`. A large picture is processed twice: first the whole picture,
reduced, to find the ink; then the region of the ink at full resolution. A digit on a plate, too: the second time, the
plate is the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.canvas.background import remove_paper
from engine.canvas.centring import SIDE_PX, centre_digits
from engine.canvas.components import find_components
from engine.canvas.ink import find_ink
from engine.canvas.levelling import find_levels
from engine.canvas.plain import normalise_plain
from engine.canvas.planes import PLANE_MAX_PX, flatten, project, reduce
from engine.canvas.ruling.erasing import erase_lines
from engine.canvas.scenes.cutting import cut_out
from engine.canvas.scenes.shadows import repair_shadows
from engine.canvas.scenes.steps import find_surfaces, treat_writing
from engine.canvas.scenes.surfaces import Surface
from engine.canvas.scenes.turning import measure_rims, turn_filled
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
_LOOKS_MAX = 3  # at parts of a picture: a badge with a rim on a sheet on a desk
_BARE_CONTRAST = 0.08  # of the grey scale: less is no digit on a surface that seemed bare
_BARE_NOISE = 0.12  # of the contrast, at most
_BARE_PARTS = 3  # components, at most
_BARE_SHARE = 0.8  # of the ink is in them
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
    canvas = _blank(len(pictures))
    left = normalise_plain([picture.pixels for picture in pictures], *canvas)
    others = [pictures[place] for place in left]
    for first, last in _groups(others):
        part = _blank(last - first)
        _normalise(others[first:last], part)
        _write(canvas, left[first:last], part)
    return canvas


def _blank(count: int) -> Canvas:
    """Return a canvas of pictures that show nothing."""
    return Canvas(np.zeros((count, SIDE_PX, SIDE_PX), np.float32), np.zeros((count, len(EVIDENCE)), np.float32))


def _write(canvas: Canvas, places: list[int], part: Canvas) -> None:
    """Write what some pictures show into the canvas of all."""
    canvas.digits[places], canvas.evidence[places] = part.digits, part.evidence


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
    boxes, surfaces = _normalise_views(small, canvas)
    looks = [
        closer
        for index, picture in enumerate(whole)
        if (small[index] is not picture or index in surfaces)
        and (closer := _look_closer(_Look(index, picture), small[index], boxes[index], surfaces.get(index))) is not None
    ]
    for _ in range(_LOOKS_MAX):
        if not looks:
            return
        looks = _look(looks, canvas)


def _look(looks: Sequence[_Look], canvas: Canvas) -> list[_Look]:
    """Normalise parts of pictures, write what they show into the canvas, and return the parts of these to look at."""
    seen = _blank(len(looks))
    small = [reduce(look.whole) for look in looks]
    boxes, surfaces = _normalise_views(small, seen)
    kept = _is_kept(looks, seen, boxes, surfaces)
    places = [look.place for look, is_kept in zip(looks, kept, strict=True) if is_kept]
    _write(canvas, places, Canvas(seen.digits[kept], seen.evidence[kept]))
    return [
        closer
        for index, look in enumerate(looks)
        if kept[index] and (closer := _look_closer(look, small[index], boxes[index], surfaces.get(index))) is not None
    ]


class _Look(NamedTuple):
    """A picture, or a part of it, that is normalised."""

    place: int
    """Of the picture in its batch."""
    whole: NDArray[np.uint8]
    """At full resolution."""
    is_crop: bool = False
    """It was cropped to its ink."""
    is_bare: bool = False
    """It is a surface on which nothing was visible."""


def _is_kept(
    looks: Sequence[_Look], seen: Canvas, boxes: NDArray[np.int64], surfaces: Mapping[int, Surface]
) -> NDArray[np.bool_]:
    """Return which of the closer looks show something; what was seen from afar stands for the others.

    On a surface that seemed bare, that is one plain digit, or a surface with something on it: what was left of the rim
    of a badge lies around that one.
    """
    written = [index in surfaces and not surfaces[index].is_bare for index in range(len(looks))]
    bare = np.array([look.is_bare for look in looks]) & ~np.array(written)
    contrast, noise, _, _, parts, _, share, _, rim = seen.evidence[:, :9].T
    plain = (contrast >= _BARE_CONTRAST) & (noise <= _BARE_NOISE)
    plain &= (parts <= _BARE_PARTS) & (share >= _BARE_SHARE) & (rim == 0)
    kept: NDArray[np.bool_] = (boxes[:, 2] > 0) & (~bare | plain)
    return kept


def _look_closer(
    look: _Look, small: NDArray[np.uint8], box: NDArray[np.int64], surface: Surface | None
) -> _Look | None:
    """Return the part of the picture that must be looked at again; None if there is none."""
    if surface is not None:
        return _Look(look.place, cut_out(look.whole, surface.mask), is_bare=surface.is_bare)
    if look.is_crop or small is look.whole:
        return None
    view = _crop_to_ink(look.whole, small, box)
    return None if view is None else _Look(look.place, view, is_crop=True)


def _normalise_views(
    views: Sequence[NDArray[np.uint8]], canvas: Canvas
) -> tuple[NDArray[np.int64], dict[int, Surface]]:
    """Run all steps and fill the canvas; return the boxes of what is kept, in px of each view, and the surfaces."""
    planes = project(views)
    levels, sheets = find_levels(planes)
    ink, unevenness = remove_paper(planes, levels, sheets)
    contrast, noise = find_ink(ink, levels)
    rims = measure_rims(ink)
    if repair_shadows(planes, levels, ink, (contrast, noise, rims)):
        rims = measure_rims(ink)
    turn_filled(ink, levels, rims)
    components = find_components(ink)
    surfaces, is_changed = find_surfaces(ink, components)
    if is_changed:
        components = find_components(ink)
    erased = erase_lines(ink, components)
    if erased.any():
        components = find_components(ink)
    if treat_writing(ink, components, surfaces):
        components = find_components(ink)
    strokes, boxes, facts = keep_strokes(ink, components)
    centre_digits(strokes, boxes, canvas.digits)
    visible = np.maximum(contrast, 1)
    canvas.evidence[:, :4] = np.stack([contrast / 255, noise / visible, unevenness / visible, erased], axis=1)
    canvas.evidence[:, 4:] = facts
    return boxes, surfaces


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
    return whole[int(top * down) : int(bottom * down), int(left * across) : int(right * across)]
