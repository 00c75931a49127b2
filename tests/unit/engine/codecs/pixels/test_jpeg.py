"""JPEG: files that libjpeg shows whole, files that have lost pixels, and files of too many pixels."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.codecs.headers.jpeg import ENDLESS_DECODINGS
from engine.codecs.pixels import jpeg
from engine.errors import DamagedImage
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


def test_cmyk_of_too_many_pixels_is_refused() -> None:
    assert code(large_jpeg("CMYK", 200), replace(LIMITS, pixels=100 * 100)) == "too-many-pixels"


@pytest.mark.parametrize(
    ("mode", "subsampling", "samples"), [("L", 0, 1), ("RGB", 0, 3), ("RGB", 1, 2), ("RGB", 2, 1.5)]
)
def test_a_progressive_jpeg_is_reduced_if_its_coefficients_fit_into_memory(
    mode: str, subsampling: int, samples: float
) -> None:
    data = large_jpeg(mode, 200, progressive=True, subsampling=subsampling)
    needed = int(200 * 200 * samples * 2)
    limits = replace(LIMITS, pixels=100 * 100, decoded_bytes=needed)
    assert pixels(data, limits).shape[:2] == (100, 100)
    assert code(data, replace(limits, decoded_bytes=needed - 1)) == "too-many-pixels"


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_of_restart_intervals_without_an_end_is_whole_or_damaged(mode: str, blocks: int) -> None:
    noise = Image.fromarray(np.kron(RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)))
    data = encoded(noise.convert(mode), "JPEG", quality=80, restart_marker_blocks=blocks)
    whole = pixels(data)
    scan_at = data.index(b"\xff\xda") + 12
    restarts = [each.start() for each in re.finditer(b"\xff[\xd0-\xd7]", data)]
    assert len(restarts) > 2
    ends = {restart + shift for restart in restarts for shift in range(-2, 4)}
    for end in sorted(ends | set(range(scan_at, len(data) - 2, 7))):
        try:
            seen = pixels(data[:end])
        except DamagedImage:
            continue
        assert end > restarts[-1], "the last interval is missing"
        assert np.array_equal(seen, whole), end


def test_scans_of_a_jpeg_without_an_end_are_limited_further_since_it_is_decoded_twice() -> None:
    data = encoded(Image.fromarray(RGB), "JPEG", progressive=True)
    endless = data[:-2]
    last = endless[endless.rindex(b"\xff\xc4") :]
    scans = data.count(b"\xff\xda")
    assert code(endless + last * (20 - scans)) == "damaged-image"
    assert code(endless + last * (21 - scans)) == "too-many-scans"
    assert np.array_equal(pixels(endless, replace(LIMITS, image_bytes=4 * len(endless))), pixels(data))
    assert code(endless, replace(LIMITS, image_bytes=4 * len(endless) - 1)) == "image-too-large"


def test_a_jpeg_without_an_end_is_decoded_as_often_as_is_charged() -> None:
    """One module counts the cost of its decodings, another has what each of them puts at the end."""
    assert len(jpeg._RESTS) == ENDLESS_DECODINGS


def test_a_jpeg_without_channels_is_damaged() -> None:
    data = bytearray(encoded(Image.fromarray(GREY), "JPEG"))
    data[data.index(b"\xff\xc0") + 9] = 0
    with pytest.raises(DamagedImage) as caught:
        pixels(bytes(data))
    assert not isinstance(caught.value.__cause__, ArithmeticError)
