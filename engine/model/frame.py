"""Brings pictures to the size, polarity and range of an imported model's training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas, normalise
from engine.codecs.decode import Picture
from engine.model.svm import Doubles, Floats

_GREY_WEIGHTS = np.array([19595, 38470, 7471], np.uint32)  # red, green, blue, of 65536: ITU-R BT.601
_COLOURED = 3  # channels; fewer are grey, or grey and alpha
_MID_GREY = 127
_GREY_DIMENSIONS = 2  # of an array without channels


@dataclass(frozen=True, slots=True)
class Frame:
    """The form of the model's training pictures, and the conversion of pictures to it."""

    side_px: int = 28
    bright_ink: bool = True
    white: float = 1.0
    """The value of the brightest pixel: 1 or 255."""
    canvas: bool = False
    """Find and centre the digit first, as for this project's own model; else take the picture as it is."""

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into (n, side, side), 0 paper and 1 ink; without the canvas there is no evidence."""
        if not self.canvas:
            return Canvas(self._plain(pictures), np.zeros((len(pictures), 0), np.float32))
        seen = normalise(pictures)
        sized = np.zeros((len(pictures), self.side_px, self.side_px), np.float32)
        for place, digit in zip(sized, seen.digits, strict=True):
            place[:] = self._resized(digit)
        return Canvas(sized, seen.evidence)

    def _plain(self, pictures: Sequence[Picture]) -> Floats:
        """Take the pictures as they are; those of the right size, which are most, all at once."""
        greys = [_grey(picture.pixels) for picture in pictures]
        sized = np.zeros((len(greys), self.side_px, self.side_px), np.float32)
        right = [i for i, grey in enumerate(greys) if grey.shape == sized.shape[1:]]
        if right:
            sized[right] = _ink(np.stack([greys[i] for i in right]))
        for i in set(range(len(greys))).difference(right):
            sized[i] = self._resized(_ink(greys[i][None])[0])
        return sized

    def _resized(self, digit: Floats) -> Floats:
        same = digit.shape == (self.side_px, self.side_px)
        resized: Floats = digit if same else cv2.resize(digit, (self.side_px,) * 2, interpolation=cv2.INTER_AREA)
        return resized

    def to_training_range(self, digits: Floats) -> Doubles:
        """Scale ink and paper to the values of the training pictures."""
        pictures = (digits * np.float32(self.white)).astype(np.float64)  # in float32 the 256 greys come out exactly
        return pictures if self.bright_ink else self.white - pictures


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert a picture to grey with Pillow's weights."""
    if pixels.ndim == _GREY_DIMENSIONS or pixels.shape[2] < _COLOURED:
        return pixels.reshape(*pixels.shape[:2], -1)[:, :, 0]
    return ((pixels[:, :, :_COLOURED].astype(np.uint32) @ _GREY_WEIGHTS + 0x8000) >> 16).astype(np.uint8)


def _ink(greys: NDArray[np.uint8]) -> Floats:
    """Make the ink of pictures (n, height, width) bright, 0 to 1; most of the rim is taken for paper."""
    rim = np.concatenate([greys[:, 0], greys[:, -1], greys[:, :, 0], greys[:, :, -1]], axis=1)
    on_bright = 2 * np.count_nonzero(rim > _MID_GREY, axis=1) >= rim.shape[1]
    turned = np.where(on_bright, 255, 0).astype(np.uint8)
    return (greys ^ turned[:, None, None]).astype(np.float32) / np.float32(255)
