"""Draws the reference digits, which are stored in the model file and read again whenever the model is loaded.

The results need not be correct, but they must be the same as when the model was saved.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.model.hog import SIDE_PX
from engine.model.svm import DIGITS, Floats

_DRAWN_PX = 84  # three times the size, then shrunk: soft edges like those of a scan


def draw_reference_digits() -> NDArray[np.uint8]:
    """Draw the ten digits, (10, 28, 28) uint8, 0 is paper, centred by mass."""
    digits = np.empty((DIGITS, SIDE_PX, SIDE_PX), np.uint8)
    for digit in range(DIGITS):
        large = np.zeros((_DRAWN_PX, _DRAWN_PX), np.uint8)
        cv2.putText(large, str(digit), (24, 66), cv2.FONT_HERSHEY_SIMPLEX, 2.3, 255, 7, cv2.LINE_AA)
        moments = cv2.moments(large)
        middle = (_DRAWN_PX - 1) / 2
        shift = np.array(
            [
                [1, 0, middle - moments["m10"] / moments["m00"]],
                [0, 1, middle - moments["m01"] / moments["m00"]],
            ],
            np.float32,
        )
        centred = cv2.warpAffine(large, shift, (_DRAWN_PX, _DRAWN_PX))
        digits[digit] = cv2.resize(centred, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return digits


def as_ink(pixels: NDArray[np.generic]) -> Floats:
    """Scale 0..255 to ink of 0..1."""
    return np.asarray(pixels, np.float32) / np.float32(255)
