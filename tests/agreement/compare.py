"""Decodes one file by the engine and by Pillow, with libheif's plugin, and compares what is to be seen."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tests.harness.heif_encoder  # noqa: F401  # Pillow then reads HEIF
from engine.codecs.decode import decode
from engine.codecs.formats import image_format
from engine.errors import EngineError
from engine.limits import Limits

_LIMITS: Final = replace(Limits(), side_min_px=1)
"""Of the smallest pictures the pixels can be compared, too, although no digit can be read in them."""


class End(StrEnum):
    """How a comparison ends."""

    EQUAL = "equal"
    CLOSE = "close"
    """No channel of any pixel differs by more than a few levels."""
    DIFFERENT = "different"
    REFUSED = "refused"
    """By the engine alone."""
    READ_ALONE = "read by the engine alone"
    REFUSED_BY_BOTH = "refused by both"
    NOT_ACCEPTED = "of no accepted format"


class Comparison(NamedTuple):
    """How the comparison of one file ended, and why."""

    end: End
    detail: str


def compare(data: bytes, levels: int) -> Comparison:
    """Decode a file twice, and compare.

    Parameters
    ----------
    data
        The file.
    levels
        Differences of 0 to 255 up to this one are `End.CLOSE`.
    """
    if image_format(data) is None:
        return Comparison(End.NOT_ACCEPTED, "")
    try:
        seen: NDArray[np.uint8] | None = decode(data, _LIMITS).pixels
        refusal = ""
    except EngineError as error:
        seen, refusal = None, f"{error.code}: {error}"
    try:
        expected = _by_pillow(data)
    except Exception as error:  # noqa: BLE001  # for what Pillow refuses, it raises whatever it comes to
        why = f"Pillow: {type(error).__name__}: {error}"
        return Comparison(End.REFUSED_BY_BOTH, refusal) if seen is None else Comparison(End.READ_ALONE, why)
    if seen is None:
        return Comparison(End.REFUSED, refusal)
    return _compared(seen, expected, levels)


def _compared(seen: NDArray[np.uint8], expected: NDArray[Any], levels: int) -> Comparison:
    if seen.shape[:2] != expected.shape[:2]:
        return Comparison(End.DIFFERENT, f"the engine's has the shape {seen.shape}, Pillow's {expected.shape}")
    if expected.ndim == 2:  # numbers, whose white no file defines
        grey = _rgba(seen)[:, :, 0]
        shown, wanted = [grey.astype(float)], [_fitted(expected, grey)]
    else:
        shown, wanted = [[_over(each, paper) for paper in (0, 255)] for each in (_rgba(seen), expected)]
    differences = np.stack([abs(one - other) for one, other in zip(shown, wanted, strict=True)])
    most = float(differences.max())
    if most == 0:
        return Comparison(End.EQUAL, "")
    detail = f"{np.count_nonzero(differences > levels) / differences.size:.1%} of values by up to {most:.0f}"
    return Comparison(End.CLOSE if most <= levels else End.DIFFERENT, detail)


def _by_pillow(data: bytes) -> NDArray[Any]:
    """Decode the first frame, upright: (h, w, 4) RGBA, or (h, w) numbers."""
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        return _rgba((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return np.asarray(image)
    if image.mode in ("LAB", "HSV"):
        image = image.convert("RGB")
    return np.asarray(image.convert("RGBA"))


def _rgba(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels of 1 to 4 channels as RGBA."""
    if pixels.ndim == 2:  # no channels
        pixels = pixels[:, :, None]
    has_alpha = pixels.shape[2] in (2, 4)
    colours, alpha = (
        (pixels[:, :, :-1], pixels[:, :, -1:]) if has_alpha else (pixels, np.full_like(pixels[:, :, :1], 255))
    )
    return np.concatenate([np.broadcast_to(colours, (*pixels.shape[:2], 3)), alpha], axis=2)


def _over(rgba: NDArray[np.uint8], paper: int) -> NDArray[np.float64]:
    """Lay a picture on paper: under what is transparent, colours do not count."""
    alpha = rgba[:, :, 3:] / 255
    return np.rint(rgba[:, :, :3] * alpha + paper * (1 - alpha))


def _fitted(numbers: NDArray[Any], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Scale numbers as the grey picture that is made of them: its least and greatest level are theirs."""
    numbers = np.nan_to_num(numbers.astype(float), posinf=0, neginf=0)
    low, high = numbers.min(), numbers.max()
    return np.rint(np.interp(numbers, (low, high), (shown.min(), shown.max()))) if high > low else shown.astype(float)
