"""PNG: every depth and colour, and files whose end or whose ancillary chunks are damaged."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.codecs.decode import decode
from engine.errors import EngineError
from tests.harness.small_pictures import GREY, LIMITS, RGB, code, encoded, pixels, png_rows
from tests.hostile.files import chunk, png, png_header

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("transparency", [3, bytes(range(0, 256, 4))])
def test_a_transparent_colour_of_a_palette_becomes_alpha(transparency: Any) -> None:
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    data = encoded(image, "PNG", transparency=transparency)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))


def test_a_transparent_grey_becomes_alpha() -> None:
    seen = pixels(encoded(Image.fromarray(GREY), "PNG", transparency=int(GREY[0, 0])))
    assert np.array_equal(seen[:, :, 1] == 0, np.equal(GREY, GREY[0, 0]))


def test_a_transparent_colour_becomes_alpha() -> None:
    colour = tuple(int(value) for value in RGB[0, 0])
    seen = pixels(encoded(Image.fromarray(RGB), "PNG", transparency=colour))
    assert np.array_equal(seen[:, :, 3] == 0, np.equal(RGB, RGB[0, 0]).all(axis=2))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_scaled_to_eight(depth: int) -> None:
    levels = 2**depth
    packed = RANDOM.integers(0, 256, (9, 2), dtype=np.uint8)
    bits = np.unpackbits(packed, axis=1).reshape(9, -1, depth)
    values = bits @ (2 ** np.arange(depth - 1, -1, -1))
    assert np.array_equal(
        pixels(png(png_header(16 // depth, 9, depth), png_rows(packed)), replace(LIMITS, side_min_px=1)),
        values * (255 // (levels - 1)),
    )


def test_an_interlaced_png_is_put_in_order() -> None:
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(png_rows(GREY[top::down, left::across]) for top, left, down, across in passes)
    assert np.array_equal(pixels(png(png_header(16, 20, interlace=1), raw)), GREY)


@pytest.mark.parametrize(
    "exif", [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"MM\x00*\x00\x00\x00\x08\xff\xff", b"nonsense"]
)
def test_an_image_with_damaged_metadata_is_read(exif: bytes) -> None:
    plain = encoded(Image.fromarray(GREY), "PNG")
    assert np.array_equal(pixels(plain[:33] + chunk(b"eXIf", exif) + plain[33:]), GREY)


def test_a_wrong_checksum_of_a_critical_chunk_is_damage() -> None:
    data = encoded(Image.fromarray(GREY), "PNG")
    for at in (17, 30, 50):
        assert code(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "damaged-image"


def test_pixels_that_end_too_early_are_damage() -> None:
    assert code(png(png_header(16, 20), png_rows(GREY)[:100])) == "damaged-image"


@pytest.mark.parametrize(
    "impossible",
    [
        png_header(16, 20, 3),
        png_header(16, 20, 8, 5),
        png_header(16, 20, 16, 3),
        png_header(16, 20, interlace=2),
        b"short",
        png_header(0, 20),
    ],
)
def test_an_impossible_header_is_refused(impossible: bytes) -> None:
    assert code(png(impossible, png_rows(GREY))) in ("damaged-image", "image-too-small")


def test_metadata_is_never_inflated() -> None:
    bomb = zlib.compress(bytes(100_000_000), 9)
    plain = encoded(Image.fromarray(GREY), "PNG")
    text, profile = chunk(b"zTXt", b"k\x00\x00" + bomb), chunk(b"iCCP", b"k\x00\x00" + bomb)
    assert np.array_equal(pixels(plain[:33] + profile + text + plain[33:]), GREY)


def test_an_error_names_no_bytes_of_the_file() -> None:
    with pytest.raises(EngineError) as caught:
        decode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x1b[31m", LIMITS)
    assert str(caught.value).isprintable()


def test_a_png_is_read_that_ends_after_its_pixels() -> None:
    for side in (12, 300):  # small grey ones have a decoder of their own
        noise = RANDOM.integers(0, 256, (side, side), dtype=np.uint8)
        data = encoded(Image.fromarray(noise), "PNG")
        for cut in (1, 4, 8, 11, 12, 14, 16):
            assert np.array_equal(pixels(data[:-cut]), noise), cut
        for cut in (17, 18, 24, 40, 100):
            assert code(data[:-cut]) == "damaged-image", cut
        assert np.array_equal(pixels(data[:-12] + b"whatever there may be"), noise)
        assert np.array_equal(pixels(data[:-2] + b"xx"), noise)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_a_png_of_any_kind_is_read_without_its_end(mode: str) -> None:
    image = Image.fromarray(GREY.repeat(9, axis=1)).convert(mode)
    data = encoded(image, "PNG")
    assert np.array_equal(pixels(data[:-12]), pixels(data))
    assert code(data[:-30]) == "damaged-image"


def test_an_interlaced_png_is_read_without_its_end_only_if_it_is_whole() -> None:
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(png_rows(GREY[top::down, left::across]) for top, left, down, across in passes)
    assert np.array_equal(pixels(png(png_header(16, 20, interlace=1), raw)[:-12]), GREY)
    assert code(png(png_header(16, 20, interlace=1), raw[:-1])[:-12]) == "damaged-image"


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"tRNS", b"eXIf"])
def test_an_ancillary_chunk_with_a_wrong_checksum_is_left_out(kind: bytes) -> None:
    body = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    plain = encoded(Image.fromarray(GREY), "PNG")
    wrong = chunk(kind, body)[:-1] + b"\x00"
    assert np.array_equal(pixels(plain[:33] + wrong + plain[33:]), GREY)


ORIENTED = b"MM\x00*" + struct.pack(">IHHHI", 8, 1, 0x0112, 3, 1) + b"\x00\x06\x00\x00" + bytes(4)
"""EXIF data of a camera held on its side."""
PROFILE = b"\nexif\n      32\n" + (b"Exif\x00\x00" + ORIENTED).hex(" ", 36).replace(" ", "\n").encode() + b"\n"


@pytest.mark.parametrize("name", [b"exif", b"APP1"])
@pytest.mark.parametrize("after", [b"", b"00" * 100_000])
def test_an_orientation_is_read_that_is_text_in_a_png(name: bytes, after: bytes) -> None:
    keyword = b"Raw profile type " + name + b"\x00"
    plain = encoded(Image.fromarray(GREY), "PNG")
    for text in (
        chunk(b"tEXt", keyword + PROFILE + after),
        chunk(b"zTXt", keyword + b"\x00" + zlib.compress(PROFILE + after)),
    ):
        assert np.array_equal(pixels(plain[:33] + text + plain[33:]), np.rot90(GREY, -1))
    exif = chunk(b"eXIf", ORIENTED.replace(b"\x00\x06", b"\x00\x03"))
    assert np.array_equal(pixels(plain[:33] + exif + text + plain[33:]), GREY[::-1, ::-1]), "the newer place counts"


@pytest.mark.parametrize("profile", [b"", b"\nexif\n 4\nxyz", b"\nexif\n 4\n457", b"\xff" * 99])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
def test_a_damaged_profile_in_text_does_not_matter(kind: bytes, profile: bytes) -> None:
    plain = encoded(Image.fromarray(GREY), "PNG")
    text = chunk(kind, b"Raw profile type exif\x00" + profile)
    assert np.array_equal(pixels(plain[:33] + text + plain[33:]), GREY)


def test_frames_that_a_png_only_says_it_has_do_not_matter() -> None:
    plain = encoded(Image.fromarray(GREY), "PNG")
    assert np.array_equal(pixels(plain[:33] + chunk(b"acTL", b"\xff" * 8) + plain[33:]), GREY)
