"""Pictures without a digit, or with more than one: what the service must not read.

========  ==========================================================================================================
photos    random crops of scikit-image's own pictures
letters   letters and signs that do not look like a digit; those that some people write like one are left out:
          B D G I J L O Q S Y Z, a b c g i j l o q s t y z
scribbles strokes that mean nothing
blank     paper, perhaps shaded, stained or noisy
noise     random pixels, random blots
several   two to five digits in a row, apart or touching
========  ==========================================================================================================

Training and testing share no photo, typeface, scribbling hand, or kind of noise. The same generator state gives the
same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from engine.training.data.disturb import encode_jpeg, encode_png
from engine.training.data.scribbles import scribble
from engine.training.data.typefaces import Split, draw

Ink = NDArray[np.float32]
"""(h, w), 0 paper, 1 ink."""

PHOTOS: Final[Mapping[Split, tuple[str, ...]]] = MappingProxyType(
    {
        "train": (
            "astronaut",
            "brick",
            "cell",
            "coffee",
            "colorwheel",
            "gravel",
            "horse",
            "hubble_deep_field",
            "immunohistochemistry",
            "logo",
            "microaneurysms",
            "retina",
            "rocket",
            "stereo_motorcycle",
            "text",
        ),
        "test": ("camera", "cat", "page", "moon", "grass", "clock", "chelsea", "coins"),
    }
)
"""Names in `skimage.data`; all of them come with the package."""

_LETTERS: Final = "ACEFHKMNPRTUVWXdefhkmnpruvwx&@#%+=*"
_ONE_IN_FOUR: Final = 0.25
_HALF: Final = 0.5


def negatives(
    kind: str,
    count: int,
    rng: np.random.Generator,
    split: Split = "train",
    digits: NDArray[np.uint8] | None = None,
) -> list[bytes]:
    """Make encoded pictures of one kind.

    Parameters
    ----------
    kind
        One of `KINDS`.
    count
        How many pictures.
    rng
        Decides all that is random.
    split
        Which of the two sets of sources.
    digits : (n, 28, 28) uint8, optional
        Handwritten digits for ``several``, 0 paper and 255 ink; without them they are drawn with typefaces.

    Raises
    ------
    TypefacesMissingError
        For letters, and for several digits, if the split's typefaces are not installed.
    """
    if kind == "several":
        return [_dressed(_several(split, rng, digits), rng) for _ in range(count)]
    return [_MAKERS[kind](split, rng) for _ in range(count)]


def _photo(split: Split, rng: np.random.Generator) -> bytes:
    pictures = _photos(split)
    picture = pictures[int(rng.integers(len(pictures)))]
    longest = min(picture.shape[:2])
    side = int(rng.integers(min(48, longest), longest + 1))
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    crop = picture[top : top + side, left : left + side]
    out = int(rng.integers(28, 200))
    crop = cv2.resize(crop, (out, out), interpolation=cv2.INTER_AREA if out < side else cv2.INTER_LINEAR)
    if crop.ndim == 3 and rng.random() < _HALF:  # noqa: PLR2004  # height, width, channels
        crop = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return encode_jpeg(crop, int(rng.integers(50, 96))) if rng.random() < _HALF else encode_png(crop)


@cache
def _photos(split: Split) -> list[NDArray[np.uint8]]:
    photos = []
    for name in PHOTOS[split]:
        loaded = getattr(skimage.data, name)()
        picture = loaded[0] if isinstance(loaded, tuple) else loaded  # a stereo pair comes with its disparities
        if picture.dtype == np.bool_:
            picture = picture.astype(np.uint8) * 255
        photos.append(np.ascontiguousarray(picture[:, :, 2::-1] if picture.ndim > 2 else picture))  # noqa: PLR2004  # colour
    return photos


def _letter(split: Split, rng: np.random.Generator) -> bytes:
    ink = draw(_LETTERS[int(rng.integers(len(_LETTERS)))], split, rng)
    turn = cv2.getRotationMatrix2D((ink.shape[1] / 2, ink.shape[0] / 2), rng.uniform(-15, 15), rng.uniform(0.7, 1))
    turn[0, 1] += rng.uniform(-0.2, 0.2)
    turn[:, 2] += 15
    height, width = ink.shape
    return _dressed(cv2.warpAffine(ink, turn, (width + 30, height + 30), flags=cv2.INTER_AREA), rng)


def _scribble(split: Split, rng: np.random.Generator) -> bytes:
    return _dressed(scribble(split, rng), rng)


def _blank(split: Split, rng: np.random.Generator) -> bytes:
    height, width = (int(side) for side in rng.integers(12, 200, 2))
    level = rng.uniform(0, 255)
    if rng.random() < _ONE_IN_FOUR:
        return encode_png(np.full((height, width), round(level), np.uint8))
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slope = rng.uniform(-60, 60, 2)
    picture = level + slope[0] * x + slope[1] * y
    if split == "test":  # light from a lamp, paper with a grain
        picture += rng.uniform(-60, 60) * np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / 0.2)
        picture += cv2.GaussianBlur(rng.normal(0, rng.uniform(1, 30), picture.shape), (0, 0), 1.5)
    else:
        picture += rng.normal(0, rng.uniform(0.3, 8), picture.shape)
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return encode_jpeg(rounded, int(rng.integers(50, 96))) if rng.random() < _HALF else encode_png(rounded)


def _noise(split: Split, rng: np.random.Generator) -> bytes:
    side = int(rng.integers(16, 100))
    if rng.random() < _HALF:  # blots
        blur = rng.uniform(1.5, 4) if split == "train" else rng.uniform(0.8, 6)
        field = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), blur)
        level = np.quantile(field, rng.uniform(0.5, 0.9))
        picture = 255 * (field > level) if rng.random() < _HALF else 128 + 90 * field / field.std()
    elif split == "train":
        picture = rng.normal(128, rng.uniform(20, 90), (side, side))
    else:
        picture = np.where(rng.random((side, side)) < rng.uniform(0.05, 0.5), rng.uniform(0, 255, (side, side)), 255)
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return encode_png(255 - rounded if rng.random() < _HALF else rounded)


def _several(split: Split, rng: np.random.Generator, digits: NDArray[np.uint8] | None) -> Ink:
    row = []
    for _ in range(int(rng.choice([2, 2, 2, 3, 3, 4, 5]))):
        if digits is None:
            ink = draw(str(rng.integers(10)), split, rng)
        else:
            ink = digits[int(rng.integers(len(digits)))].astype(np.float32) / np.float32(255)
            ink = ink[np.ix_(ink.max(1) > _HALF, ink.max(0) > _HALF)]
        height = int(rng.integers(50, 70))
        row.append(cv2.resize(ink, (max(4, round(ink.shape[1] * height / ink.shape[0])), height)))
    gap = int(rng.integers(-6, 20))  # negative: they touch
    width = sum(ink.shape[1] + gap for ink in row)
    picture = np.zeros((90, width + 60), np.float32)
    left = 30
    for ink in row:
        top = int(rng.integers(5, 20))
        place = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
        np.maximum(place, ink, out=place)
        left += ink.shape[1] + gap
    return picture


def _dressed(ink: Ink, rng: np.random.Generator) -> bytes:
    """Put ink on paper as the digits' own pictures have it: any size, polarity, contrast, some noise."""
    room = int(rng.integers(0, 25))
    ink = np.pad(ink, room)
    scale = rng.uniform(24, 120) / max(ink.shape)
    size = tuple(max(8, round(side * scale)) for side in ink.shape[::-1])
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    paper, pen = rng.uniform(150, 255), rng.uniform(0, 90)
    if rng.random() < _HALF:
        paper, pen = 0.0, 255.0  # as MNIST is
    picture = paper + ink * (pen - paper)
    if rng.random() < _HALF:
        picture = picture + rng.normal(0, rng.uniform(0, 12), picture.shape)
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return encode_jpeg(rounded, int(rng.integers(50, 96))) if rng.random() < _ONE_IN_FOUR else encode_png(rounded)


_MAKERS: Final[Mapping[str, Callable[[Split, np.random.Generator], bytes]]] = MappingProxyType(
    {"photos": _photo, "letters": _letter, "scribbles": _scribble, "blank": _blank, "noise": _noise}
)
KINDS: Final = (*_MAKERS, "several")
"""Every kind by its name."""
