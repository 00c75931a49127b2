"""Writes a normalised digit as a picture, for people who want to see what the model saw."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def as_png(digit: NDArray[np.float32]) -> bytes:
    """Return a digit as a grey PNG, in which paper is black and ink is white.

    Parameters
    ----------
    digit : (side, side) float32
        0 is paper, 1 is ink: a digit of `engine.canvas.pipeline.Canvas`.
    """
    grey = np.rint(digit * 255).astype(np.uint8)
    encoded: NDArray[np.uint8] = cv2.imencode(".png", grey)[1]
    return encoded.tobytes()
