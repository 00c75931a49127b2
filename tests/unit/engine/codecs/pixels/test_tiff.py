"""TIFF: orders of bytes, BigTIFF, numbers of any size, and overviews."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.harness.small_pictures import ALPHA, GREY, LIMITS, RGB, code, encoded, pixels

RANDOM = np.random.default_rng(0)


def test_the_order_of_a_sixteen_bit_tiffs_bytes_does_not_matter() -> None:
    fields = [(256, 4, 1, 16), (257, 4, 1, 20), (258, 3, 1, 16 << 16), (262, 3, 1, 1 << 16), (273, 4, 1, 110)]
    fields += [(277, 3, 1, 1 << 16), (278, 4, 1, 20), (279, 4, 1, 640)]
    directory = struct.pack(">H", len(fields)) + b"".join(struct.pack(">2H2I", *field) for field in fields) + bytes(4)
    values = (GREY.astype(np.uint16) * 257).astype(">u2").tobytes()
    assert np.array_equal(pixels(b"MM\x00*\x00\x00\x00\x08" + directory + values), GREY)


def test_a_tiff_of_floats_is_scaled_by_its_own_range() -> None:
    seen = pixels(encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"))
    assert np.abs(seen.astype(int) - GREY).max() <= max(1, int(GREY.min()) + 255 - int(GREY.max()))


def test_a_bigtiff_is_read_as_a_tiff_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for image in (Image.fromarray(GREY), Image.fromarray(RGB)):
        data = encoded(image, "TIFF", big_tiff=True)
        assert data.startswith(b"II+\x00")
        assert np.array_equal(pixels(data), np.asarray(image))
        assert code(data, replace(LIMITS, pixels=GREY.size - 1)) == "too-many-pixels"
        turned = encoded(image, "TIFF", big_tiff=True, exif=exif)
        assert np.array_equal(pixels(turned), np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1, 2**40])
def test_a_bigtiff_whose_offset_is_outside_the_file_is_damaged(offset: int) -> None:
    assert code(b"II+\x00\x08\x00\x00\x00" + struct.pack("<Q", offset) + bytes(64)) == "damaged-image"


def tiff_of_numbers(values: NDArray[Any], order: Literal["<", ">"], *, deflated: bool = False) -> bytes:
    """Write floats in one strip, which Pillow does for one channel of 32 bits only."""
    height, width, channels = values.shape
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    body = zlib.compress(body) if deflated else body
    bits = struct.pack(f"{order}{channels}H", *[values.dtype.itemsize * 8] * channels)
    formats = struct.pack(f"{order}{channels}H", *[3] * channels)
    places = 8 + 2 + 10 * 12 + 4
    fields = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits), (259, 3, 1, 8 if deflated else 1),
        (262, 3, 1, 2 if channels > 2 else 1), (273, 4, 1, places + (16 if channels > 2 else 0)),
        (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(body)), (339, 3, channels, formats),
    ]  # fmt: skip
    data, outside = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "IH", 8, len(fields)), b""
    for tag, kind, count, value in fields:
        data += struct.pack(order + "HHI", tag, kind, count)
        if isinstance(value, int):
            data += struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(4, b"\x00")
        elif len(value) > 4:
            data += struct.pack(order + "I", places + len(outside))
            outside += value.ljust(8, b"\x00")
        else:
            data += value.ljust(4, b"\x00")
    return data + bytes(4) + outside + body


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_a_tiff_of_floats_is_read_with_any_size_order_and_number_of_channels(
    kind: str, order: Literal["<", ">"], *, deflated: bool
) -> None:
    for picture in (GREY[:, :, None], RGB, np.dstack([RGB, ALPHA])):
        data = tiff_of_numbers((picture / 255).astype(kind), order, deflated=deflated)
        assert np.array_equal(pixels(data), picture.squeeze())


@pytest.mark.parametrize("white", [1, 255, 65_535])
def test_white_of_a_tiff_of_numbers_is_what_they_fit(white: float) -> None:
    def seen(numbers: NDArray[Any]) -> NDArray[np.uint8]:
        return pixels(encoded(Image.fromarray(numbers.astype(np.float32)), "TIFF"))

    assert np.array_equal(seen(GREY * (white / 255)), GREY)
    blank = white * (0.9 + RANDOM.normal(0, 0.001, GREY.shape))
    assert np.ptp(seen(blank).astype(int)) <= 5, "a blank page stays blank"
    overshot = np.linspace(-0.05, 1.05, GREY.size).reshape(GREY.shape) * white
    assert {0, 255} <= set(seen(overshot).ravel().tolist())


@pytest.mark.parametrize(("low", "high"), [(0, 16), (-1, 1), (100_000, 200_000), (3, 3)])
def test_other_numbers_in_a_tiff_are_scaled_by_their_range(low: float, high: float) -> None:
    numbers = low + (high - low) * (GREY.astype(float) - GREY.min()) / float(np.ptp(GREY))
    seen = pixels(encoded(Image.fromarray(numbers.astype(np.float32)), "TIFF"))
    assert (seen.min(), seen.max()) == (0, 255 if high > low else 0)


def test_of_a_tiff_of_too_many_pixels_the_largest_overview_that_fits_is_read() -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.kron(GREY, np.ones((n, n), np.uint8))) for n in (4, 2, 1)]
    for frame in frames[1:]:
        frame.encoderinfo = {"tiffinfo": {254: 1}}
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:], tiffinfo={0x0112: 6})
    data = stream.getvalue()
    assert pixels(data).shape == (64, 80)
    assert np.array_equal(pixels(data, replace(LIMITS, pixels=GREY.size * 4)), np.rot90(np.asarray(frames[1]), -1))
    assert np.array_equal(pixels(data, replace(LIMITS, pixels=GREY.size * 4 - 1)), np.rot90(GREY, -1))
    assert code(data, replace(LIMITS, pixels=GREY.size - 1)) == "too-many-pixels"


def with_entry(data: bytes, tag: int, entry: bytes) -> bytes:
    """Overwrite one entry of the directory of a file that Pillow has written."""
    at = data.index(struct.pack("<H", tag), int.from_bytes(data[4:8], "little"))
    return data[:at] + entry + data[at + 12 :]


def test_a_text_that_comes_twice_in_a_tiff_does_not_matter_but_a_size_does() -> None:
    data = encoded(Image.fromarray(GREY), "TIFF", tiffinfo={305: "a program", 315: "someone"})
    assert np.array_equal(pixels(with_entry(data, 315, struct.pack("<HHI4s", 305, 2, 2, b"x"))), GREY)
    assert code(with_entry(data, 315, struct.pack("<HHII", 257, 4, 1, 9_999))) == "damaged-image"


def test_a_tiff_of_floats_is_read_that_lacks_all_tags_that_have_a_default() -> None:
    data = encoded(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF")
    for tag in (262, 278):
        assert np.array_equal(pixels(with_entry(data, tag, struct.pack("<HHII", 65_001, 4, 1, 0))), GREY), tag


def test_pages_of_a_tiff_that_lead_back_end_there() -> None:
    data = encoded(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    first = int.from_bytes(data[4:8], "little")
    next_at = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[next_at : next_at + 4], "little")
    end_at = second + 2 + 12 * int.from_bytes(data[second : second + 2], "little")
    for back in (first, second):
        assert np.array_equal(pixels(data[:end_at] + struct.pack("<I", back) + data[end_at + 4 :]), GREY)
