"""Brings pictures to the size, polarity and range of an imported model's training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas, normalise
from engine.codecs.decode import Picture
from engine.model.imported.block_hog import Doubles
from engine.model.svm import Floats

_GREY_WEIGHTS = np.array([19595, 38470, 7471], np.uint32)  # red, green, blue, of 65536: ITU-R BT.601
_COLOURED = 3  # channels; fewer are grey, or grey and alpha
_MID_GREY = 127


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
        """Turn pictures into (n, side, side), 0 paper and 1 ink, with no evidence."""
        digits = normalise(pictures).digits if self.canvas else [_plain(picture.pixels) for picture in pictures]
        sized = np.zeros((len(pictures), self.side_px, self.side_px), np.float32)
        for i, digit in enumerate(digits):
            same = digit.shape == (self.side_px, self.side_px)
            sized[i] = digit if same else cv2.resize(digit, (self.side_px,) * 2, interpolation=cv2.INTER_AREA)
        return Canvas(sized, np.zeros((len(pictures), 0), np.float32))

    def to_training_range(self, digits: Floats) -> Doubles:
        """Scale ink and paper to the values of the training pictures."""
        pictures = (digits * np.float32(self.white)).astype(np.float64)  # in float32 the 256 greys come out exactly
        return pictures if self.bright_ink else self.white - pictures


def _plain(pixels: NDArray[np.uint8]) -> Floats:
    """Convert a picture to grey with Pillow's weights and make its ink bright; the rim is taken for paper."""
    channels = pixels.reshape(*pixels.shape[:2], -1)
    if channels.shape[2] < _COLOURED:
        grey = channels[:, :, 0]
    else:
        grey = ((channels[:, :, :_COLOURED].astype(np.uint32) @ _GREY_WEIGHTS + 0x8000) >> 16).astype(np.uint8)
    rim = (grey[0], grey[-1], grey[:, 0], grey[:, -1])
    bright = sum(np.count_nonzero(edge > _MID_GREY) for edge in rim)
    ink = grey if 2 * bright < sum(map(len, rim)) else 255 - grey
    return ink.astype(np.float32) / np.float32(255)
