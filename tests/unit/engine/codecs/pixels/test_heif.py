"""AVIF and HEIF: colours, alpha and rotation are as their libraries and containers say."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.harness.images import SEEN_BY_SENSOR
from tests.harness.small_pictures import GREY, RGB, code, encoded, pixels


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_and_heif_are_shown_as_their_libraries_show_them(kind: str, mode: str) -> None:
    picture = Image.fromarray(RGB.repeat(4, axis=0).repeat(4, axis=1)).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(GREY.repeat(4, axis=0).repeat(4, axis=1)))
    data = encoded(picture, kind, quality=90)
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(pixels(data), shown)
    assert pixels(data).shape[:2] == (80, 64)


def test_a_grey_heif_of_more_than_eight_bits_is_scaled_to_eight() -> None:
    """Libheif leaves its 16 bits, and a grey level above 255 would have no counter in the canvas."""
    picture = np.kron(GREY, np.ones((4, 4), np.uint8))
    seen = pixels(encoded(Image.fromarray(picture.astype(np.uint16) * 257), "HEIF", quality=90))
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("held", range(1, 9))
def test_an_avif_is_turned_as_its_container_says(held: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = held
    picture = Image.fromarray(GREY.repeat(4, axis=0).repeat(4, axis=1))
    stored = picture.transpose(SEEN_BY_SENSOR[held]) if held in SEEN_BY_SENSOR else picture
    seen = pixels(encoded(stored, "AVIF", quality=90, exif=exif))
    assert seen.shape == (80, 64)
    assert np.abs(seen.astype(int) - np.asarray(picture)).mean() < 4


@pytest.mark.parametrize(
    ("kind", "value", "turned"),
    [
        (b"irot", 1, np.rot90(GREY, 1)),
        (b"irot", 2, np.rot90(GREY, 2)),
        (b"irot", 3, np.rot90(GREY, 3)),
        (b"imir", 0, GREY[::-1]),
        (b"imir", 1, GREY[:, ::-1]),
    ],
)
def test_a_heif_is_turned_as_its_container_says(kind: bytes, value: int, turned: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # cameras write it, too, and it must not turn the picture once more
    data = encoded(Image.fromarray(np.kron(RGB, np.ones((8, 8, 1), np.uint8))), "HEIF", quality=90, exif=exif)
    at = data.index(b"colr")  # the encoder writes no rotation, so another property becomes one
    seen = pixels(data[:at] + kind + bytes([value]) + data[at + 5 :])
    assert seen.shape[:2] == (8 * turned.shape[0], 8 * turned.shape[1])
    assert np.abs(seen[4::8, 4::8, 0].astype(int) - turned).mean() < 8


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_picture_that_is_larger_than_its_container_says_is_never_shown_larger(kind: str) -> None:
    """Libheif refuses it; libavif scales it."""
    data = encoded(Image.fromarray(np.kron(RGB, np.ones((16, 16, 1), np.uint8))), kind, quality=30)
    size = b"ispe" + bytes(4) + struct.pack(">2I", 256, 320)
    assert size in data
    lie = data.replace(size, size[:8] + struct.pack(">2I", 32, 40))
    if kind == "HEIF":
        assert code(lie) == "damaged-image"
    else:
        assert pixels(lie).shape[:2] == (40, 32)
