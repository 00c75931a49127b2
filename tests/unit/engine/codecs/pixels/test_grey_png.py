"""Small grey PNGs come out as OpenCV shows them, or are left to it."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.codecs.decode import decode
from engine.codecs.pixels import grey_png as grey
from engine.limits import Limits


def filtered(pixels: NDArray[np.uint8], kind: int) -> bytes:
    """Filter every row in one way, as the specification says it, and deflate."""
    height, width = pixels.shape
    padded = np.zeros((height + 1, width + 1), np.int64)
    padded[1:, 1:] = pixels
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    estimate = left + above - corner
    distances = np.stack([abs(estimate - each) for each in (left, above, corner)])
    paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
    guess = [np.zeros_like(left), left, above, (left + above) // 2, paeth][kind]
    rows = ((pixels - guess) % 256).astype(np.uint8)
    return zlib.compress(np.hstack([np.full((height, 1), kind, np.uint8), rows]).tobytes())


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (31, 17), np.uint8)


@pytest.mark.parametrize("kind", range(5))
def test_each_filter_is_undone(noise: NDArray[np.uint8], kind: int) -> None:
    pixels = grey.decode(filtered(noise, kind), 17, 31)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, noise)


@pytest.mark.parametrize("strategy", range(5))
def test_pictures_come_out_as_opencv_shows_them(noise: NDArray[np.uint8], strategy: int) -> None:
    smooth = cv2.GaussianBlur(noise, (9, 9), 3)
    for picture in (noise, smooth):
        file = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_STRATEGY, strategy])[1].tobytes()
        shown = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decode(file, Limits()).pixels, shown)


def test_what_is_not_exactly_right_is_left_to_the_general_decoder(noise: NDArray[np.uint8]) -> None:
    right = filtered(noise, 1)
    wrong_sum = right[:-4] + struct.pack(">I", 0)
    unknown_filter = zlib.compress(b"\5" + bytes(17))
    bomb = zlib.compress(bytes(10_000_000))
    for deflated, height in (
        (right, 30),
        (right, 32),
        (right[:-9], 31),
        (wrong_sum, 31),
        (unknown_filter, 1),
        (bomb, 31),
    ):
        assert grey.decode(deflated, 17, height) is None
