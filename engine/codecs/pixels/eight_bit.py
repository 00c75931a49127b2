"""Converts decoded pixels to 8 bits: of 16 bits the high ones, of numbers their range, of palettes the colours."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRIP_PIXELS: Final = 1_000_000
"""Pixels that are converted at once. The limit is in pixels, not rows: a few rows can be a whole wide picture."""
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
    """Scale 16 bit to 8; scale long integers and floats by the picture's range, since their type defines no white."""
    first = np.asarray(_strip(image, *strips[0]))
    if first.dtype.kind == "u":
        deep = (np.asarray(_strip(image, *bounds)) for bounds in strips)
        return np.concatenate([high_bytes(values.astype(np.uint16, copy=False)) for values in deep])
    ranges = [(numbers.min(), numbers.max()) for bounds in strips for numbers in [_finite(_strip(image, *bounds))]]
    low, high = float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))
    return np.concatenate([_scaled(_finite(_strip(image, *bounds)), low, high) for bounds in strips])


def _finite(strip: Image.Image) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = np.nan_to_num(np.array(strip, np.float32), copy=False, posinf=0, neginf=0)
    return numbers


def _scaled(numbers: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    numbers -= low
    numbers *= 255 / max(high - low, 1e-9)
    return numbers.astype(np.uint8)


def high_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16 bit to 8 by taking the high bytes."""
    high = 1 if sys.byteorder == "little" else 0
    return values.view(np.uint8).reshape(*values.shape, 2)[..., high].copy()
