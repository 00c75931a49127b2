"""JPEG: files that libjpeg shows whole, files that have lost pixels, and files of too many pixels."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.harness.small_pictures import GREY, LIMITS, RGB, code, encoded, pixels

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_comes_out_nearly_as_it_was(*, progressive: bool) -> None:
    grey = pixels(encoded(Image.fromarray(GREY), "JPEG", quality=95, progressive=progressive))
    assert np.abs(grey.astype(int) - GREY).mean() < 3
    colour = pixels(encoded(Image.fromarray(RGB), "JPEG", quality=95, subsampling=0, progressive=progressive))
    assert np.abs(colour.astype(int) - RGB).mean() < 5


def test_cmyk_is_shown_as_pillow_shows_it() -> None:
    data = encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def jpegs() -> list[bytes]:
    noise = np.kron(RANDOM.integers(0, 256, (15, 20, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    options: list[dict[str, Any]] = [
        {"progressive": True},
        {"subsampling": 0},
        {"restart_marker_blocks": 3},
        {"optimize": True},
    ]
    pictures = [Image.fromarray(noise).convert(mode) for mode in ("L", "RGB", "CMYK")]
    return [encoded(picture, "JPEG", quality=90, **each) for picture in pictures for each in options]


@pytest.mark.parametrize("data", jpegs(), ids=range(len(jpegs())))
def test_a_jpeg_without_an_end_marker_is_read_exactly_if_its_pixels_are_there(data: bytes) -> None:
    whole = pixels(data)
    for end in (b"", b"\xff", bytes(100), b"\xff" * 9, b"\xff\xfe\x00\x50 a comment that is cut"):
        assert np.array_equal(pixels(data[:-2] + end), whole), end


def test_a_jpeg_cut_in_its_pixels_is_damaged() -> None:
    for data in jpegs():
        assert code(data[: len(data) * 3 // 4]) == "damaged-image"


def test_a_progressive_jpeg_that_lacks_scans_is_damaged() -> None:
    data = encoded(Image.fromarray(RGB), "JPEG", progressive=True)
    for scan in range(1, data.count(b"\xff\xda")):
        at = [each.start() for each in re.finditer(b"\xff\xda", data)][scan]
        assert code(data[:at]) == "damaged-image"


@pytest.mark.parametrize("stray", [b"\x00", b"\x01\x02\x03", b"\xff\x00", bytes(1_000)])
def test_stray_bytes_between_the_segments_of_a_jpeg_do_not_matter(stray: bytes) -> None:
    for data in jpegs():
        at, parts = 2, [data[:2]]
        while data[at + 1] != 0xDA:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            parts += [data[at:end], stray]
            at = end
        assert np.array_equal(pixels(b"".join(parts) + data[at:]), pixels(data))


def large_jpeg(mode: str, side: int, **options: Any) -> bytes:
    """Encode a bright square in the middle of a dark one."""
    picture = Image.new("L", (side, side), 40)
    picture.paste(220, (side // 4, side // 4, side * 3 // 4, side * 3 // 4))
    return encoded(picture.convert(mode), "JPEG", **options)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("most", "side"), [(200, 100), (150, 100), (100, 100), (99, 50), (50, 50), (49, 25)])
def test_a_jpeg_of_too_many_pixels_is_reduced_as_little_as_needed(mode: str, most: int, side: int) -> None:
    data = large_jpeg(mode, 200)
    limits = replace(LIMITS, pixels=most * most)
    seen = pixels(data, limits)
    expected = 200 if most == 200 else side
    assert seen.shape[:2] == (expected, expected)
    grey = seen if seen.ndim == 2 else seen[:, :, 0]
    assert abs(int(grey[expected // 2, expected // 2]) - 220) < 5
    assert abs(int(grey[2, 2]) - 40) < 5
    assert np.array_equal(pixels(data[:-2], limits), seen)
    if most < 200:
        assert code(data, replace(limits, reduced_pixels=199 * 200)) == "too-many-pixels"


@pytest.mark.parametrize(("mode", "options"), [("RGB", {"progressive": True}), ("CMYK", {})])
def test_a_jpeg_that_its_decoder_cannot_reduce_within_memory_is_refused(mode: str, options: dict[str, Any]) -> None:
    assert code(large_jpeg(mode, 200, **options), replace(LIMITS, pixels=100 * 100)) == "too-many-pixels"
