"""The pictures that benchmarks send: MNIST's training digits as 28 px PNG files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.training.data.labelled import Labelled, read_mnist


def read_pixels(mnist: Path) -> tuple[NDArray[np.uint8], Labelled]:
    """Read the 60,000 digits.

    Parameters
    ----------
    mnist
        Folder of the two IDX files.

    Returns
    -------
    pixels : (60000, 28, 28) uint8
        White ink on black, as in the files.
    digits
        The same with their labels.
    """
    digits = read_mnist(mnist)
    return np.rint(digits.digits * 255).astype(np.uint8), digits


def as_png(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Encode (n, 28, 28) grey values as n PNG files."""
    files = []
    for digit in pixels:
        encoded = io.BytesIO()
        Image.fromarray(digit).save(encoded, "PNG")
        files.append(encoded.getvalue())
    return files
