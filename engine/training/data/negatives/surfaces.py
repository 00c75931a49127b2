"""Pictures without anything written: photos, empty scenes, blank paper, noise, textures, codes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from engine.model.hog import SIDE_PX
from engine.training.data.disturb import encode_jpeg, encode_png
from engine.training.data.negatives.dressing import encoded
from engine.training.data.negatives.split import Split
from engine.training.scenes.kinds import SCENES

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

EMPTY_SCENES: Final[Mapping[Split, tuple[str, ...]]] = MappingProxyType(
    {
        "train": ("disc", "key", "diamond", "box_row", "comb", "sheet_askew", "pen_at_edge", "shadow_edge"),
        "test": ("rounded_plate", "badge", "sticker", "punched", "finger_at_edge"),
    }
)
"""Without the box and the ring, which are a 0 if they are empty."""

_ONE_IN_FOUR: Final = 0.25
_HALF: Final = 0.5


def photo(split: Split, rng: np.random.Generator) -> bytes:
    """Crop one of scikit-image's pictures anywhere."""
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


def empty_scene(split: Split, rng: np.random.Generator) -> bytes:
    """Leave a plate, a form field or a sheet empty."""
    scenes = EMPTY_SCENES[split]
    return SCENES[scenes[int(rng.integers(len(scenes)))]](np.zeros((SIDE_PX, SIDE_PX), np.uint8), rng)


def blank(split: Split, rng: np.random.Generator) -> bytes:
    """Leave paper empty: even, shaded, and with a grain."""
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
    return encoded(picture, rng)


def noise(split: Split, rng: np.random.Generator) -> bytes:
    """Fill a picture with random blots or pixels."""
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


def texture(split: Split, rng: np.random.Generator) -> bytes:
    """Repeat a pattern: stripes and checks (learned), dots, waves and rings (never learned)."""
    side = int(rng.integers(24, 140))
    angle, period = rng.uniform(0, np.pi), side / rng.uniform(2, 9)
    y, x = np.mgrid[:side, :side] - rng.uniform(0, side, 2)[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    first, second = (np.sin(way * (2 * np.pi / period)) for way in (along, across))
    if split == "train":
        wave = (first, np.sign(first * second), np.maximum(first, second))[int(rng.integers(3))]
    else:
        wavy = np.sin((along + period * 0.4 * second) * (2 * np.pi / period))
        rings = np.sin(np.hypot(x, y) * (2 * np.pi / period))
        wave = (first * second - 0.3, wavy, rings)[int(rng.integers(3))]
    grey = np.tanh(wave * rng.uniform(1, 8))
    return encoded(128 + rng.uniform(30, 120) * grey, rng)


def code(split: Split, rng: np.random.Generator) -> bytes:
    """Draw a bar code (learned) or a code of squares (never learned)."""
    modules = int(rng.integers(12, 40))
    if split == "train":
        cells = np.repeat(rng.integers(0, 2, (1, 2 * modules)), modules, axis=0)
    else:
        cells = rng.integers(0, 2, (modules, modules))
    scale = int(rng.integers(2, 5))
    picture = np.pad(np.kron(cells, np.ones((scale, scale))), int(rng.integers(0, 12)))
    return encoded(rng.uniform(180, 255) - picture * rng.uniform(120, 180), rng)
