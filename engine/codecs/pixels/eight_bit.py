"""Converts decoded pixels to 8 bits: of 16 bits the high ones, of numbers their range, of palettes the colours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRIP_PIXELS: Final = 1_000_000
"""Pixels that are converted at once. The limit is in pixels, not rows: a few rows can be a whole wide picture."""
_WHITES: Final = (1.0, 255.0, 65_535.0)
_OVERSHOOT: Final = 0.1
_MODES = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "PA": "RGBA", "La": "LA"}
_ALPHA = {"L": "LA", "RGB": "RGBA"}


def eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    """Convert any of Pillow's modes to L, LA, RGB or RGBA, strip by strip, since Pillow copies what it converts."""
    mode = _MODES.get(image.mode, image.mode)
    if "transparency" in image.info:
        mode = _ALPHA.get(mode, mode)
    rows = max(1, _STRIP_PIXELS // image.width)
    strips = [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    if image.mode.startswith(("I", "F")):
        return _from_numbers(image, strips)
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top, end in strips:
        strip = _strip(image, top, end)
        converted = strip if mode == image.mode else strip.convert(mode)
        pixels[top:end] = np.asarray(converted).reshape(end - top, image.width, len(mode))
    return pixels[:, :, 0] if len(mode) == 1 else pixels


def _strip(image: Image.Image, top: int, end: int) -> Image.Image:
    return image.crop((0, top, image.width, end))


def _from_numbers(image: Image.Image, strips: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """Scale 16 bit to 8; scale long integers as `numbers_to_eight_bit` does, since their type defines no white."""
    first = np.asarray(_strip(image, *strips[0]))
    if first.dtype.kind == "u":
        deep = (np.asarray(_strip(image, *bounds)) for bounds in strips)
        return np.concatenate([high_bytes(values.astype(np.uint16, copy=False)) for values in deep])
    return _scaled(lambda top, end: np.asarray(_strip(image, top, end)), strips)


def numbers_to_eight_bit(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale numbers so that white becomes 255, as viewers do: 1, 255 or 65,535 is white if the numbers fit that.

    They fit if none is negative or larger, a little aside (enlarging a picture overshoots), and the largest is at least
    half of it. Otherwise the smallest number is black and the largest white. What is no number is black.

    Parameters
    ----------
    numbers : (h, w) or (h, w, channels)
        Floats or integers of any size.
    """
    rows = max(1, _STRIP_PIXELS // max(1, numbers[:1].size))
    return _scaled(lambda top, end: numbers[top:end], [(top, top + rows) for top in range(0, len(numbers), rows)])


def _scaled(strip: Callable[[int, int], NDArray[Any]], strips: list[tuple[int, int]]) -> NDArray[np.uint8]:
    ranges = [(float(numbers.min()), float(numbers.max())) for rows in strips for numbers in [_finite(strip(*rows))]]
    low, high = _black_and_white(min(low for low, _ in ranges), max(high for _, high in ranges))
    scaled = []
    for rows in strips:
        numbers = _finite(strip(*rows))
        numbers -= low
        numbers *= 255 / max(high - low, 1e-9)
        scaled.append(np.rint(np.clip(numbers, 0, 255, out=numbers), out=numbers).astype(np.uint8))
    return np.concatenate(scaled)


def _black_and_white(low: float, high: float) -> tuple[float, float]:
    for white in _WHITES:
        if low >= -_OVERSHOOT * white and white / 2 <= high <= (1 + _OVERSHOOT) * white:
            return 0.0, white
    return low, high


def _finite(numbers: NDArray[Any]) -> NDArray[np.float32]:
    finite: NDArray[np.float32] = np.nan_to_num(np.array(numbers, np.float32), copy=False, posinf=0, neginf=0)
    return finite


def high_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16 bit to 8 by taking the high bytes."""
    high = 1 if sys.byteorder == "little" else 0
    return values.view(np.uint8).reshape(*values.shape, 2)[..., high].copy()
