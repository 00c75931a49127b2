"""What holds for every format: pictures are shown as they are meant, and nothing beyond the limits is decoded."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.harness.images import SEEN_BY_SENSOR
from tests.harness.small_pictures import ALPHA, GREY, LIMITS, RGB, code, encoded, pixels, png_rows
from tests.hostile.files import chunk, png, png_header

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_grey_pictures_come_out_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = pixels(encoded(Image.fromarray(GREY), kind, **options))
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colours_come_out_in_the_order_red_green_blue(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(encoded(Image.fromarray(RGB), kind, **options)), RGB)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept(kind: str, mode: str) -> None:
    image = (
        Image.fromarray(np.dstack([RGB, ALPHA])) if mode == "RGBA" else Image.fromarray(np.dstack([GREY, ALPHA]), "LA")
    )
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    seen = pixels(encoded(image, kind, **options))
    assert seen.shape[2] in (2, 4)
    assert np.array_equal(seen[:, :, -1], ALPHA)
    assert np.array_equal(seen[:, :, 0], GREY)


def test_a_palette_is_expanded() -> None:
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        assert np.array_equal(pixels(encoded(image, kind)), np.asarray(image.convert("RGB")))


def test_a_transparent_colour_of_a_gif_becomes_alpha() -> None:
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    data = encoded(image, "GIF", transparency=3)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encoded(deep, kind)), GREY)
    grey_alpha = np.dstack([GREY, ALPHA]).astype(np.uint16) * 257
    raw = png_rows(grey_alpha.astype(">u2").reshape(20, -1))
    seen = pixels(png(png_header(16, 20, 16, 4), raw))
    assert np.array_equal(seen[:, :, 0], GREY)
    assert np.array_equal(seen[:, :, -1], ALPHA)


@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_camera_held_in_any_way_gives_an_upright_picture(kind: str, held: int) -> None:
    upright = Image.fromarray(GREY.repeat(4, axis=0).repeat(4, axis=1))
    exif = Image.Exif()
    exif[0x0112] = held
    stored = upright.transpose(SEEN_BY_SENSOR[held]) if held in SEEN_BY_SENSOR else upright
    exact: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    seen = pixels(encoded(stored, kind, exif=exif, **exact.get(kind, {})))
    assert seen.flags.c_contiguous
    assert seen.flags.writeable
    grey = seen if seen.ndim == 2 else seen[:, :, 0]
    assert grey.shape == (80, 64)
    assert np.abs(grey.astype(int) - np.asarray(upright)).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY), Image.fromarray(GREY // 2)]
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = pixels(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_more_frames_than_the_limit_are_refused(kind: str) -> None:
    frames = [Image.fromarray(np.roll(GREY, shift)) for shift in range(4)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert code(data, replace(LIMITS, frames=3)) == "too-many-frames"
    assert pixels(data, replace(LIMITS, frames=4)).shape[:2] == GREY.shape


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    picture = np.kron(GREY, np.ones((16, 16), np.uint8))  # HEIF has whole blocks, and counts them
    data = encoded(Image.fromarray(picture), kind)
    assert code(data, replace(LIMITS, pixels=picture.size - 1, reduced_pixels=picture.size - 1)) == "too-many-pixels"
    assert pixels(data, replace(LIMITS, pixels=picture.size)).shape[:2] == picture.shape


@pytest.mark.parametrize("kind", KINDS)
def test_a_side_below_the_limit_is_refused(kind: str) -> None:
    assert code(encoded(Image.fromarray(GREY[:7]), kind)) == "image-too-small"
    assert code(encoded(Image.fromarray(GREY[:, :7]), kind)) == "image-too-small"
    assert pixels(encoded(Image.fromarray(GREY[:8, :8]), kind)).shape[:2] == (8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_bytes_are_refused(kind: str) -> None:
    data = encoded(Image.fromarray(GREY), kind)
    assert code(data, replace(LIMITS, image_bytes=len(data) - 1)) == "image-too-large"


def test_huge_dimensions_in_a_small_file_are_refused_before_a_pixel_is_decoded() -> None:
    assert code(png(png_header(2**31 - 1, 2**31 - 1), b"")) == "too-many-pixels"
    jpeg = bytearray(encoded(Image.fromarray(GREY), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    assert code(bytes(jpeg)) == "too-many-pixels"
    gif = bytearray(encoded(Image.fromarray(GREY), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    assert code(bytes(gif)) == "too-many-pixels"
    bmp = bytearray(encoded(Image.fromarray(GREY), "BMP"))
    bmp[18:26] = struct.pack("<2i", 2**30, 2**30)
    assert code(bytes(bmp)) == "too-many-pixels"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_damaged_and_not_shown_in_part(kind: str) -> None:
    noisy = RANDOM.integers(0, 256, (40, 40), dtype=np.uint8)
    data = encoded(Image.fromarray(noisy), kind)
    for end in (len(data) // 3, len(data) // 2, len(data) * 3 // 4):
        assert code(data[:end]) == "damaged-image"


def test_more_parts_than_the_limit_are_refused() -> None:
    plain = encoded(Image.fromarray(GREY), "PNG")
    assert code(plain[:33] + chunk(b"tEXt", b"") * 50 + plain[33:], replace(LIMITS, parts=50)) == "too-many-parts"
    jpeg = encoded(Image.fromarray(GREY), "JPEG")
    assert code(jpeg[:2] + b"\xff\xfe\x00\x02" * 50 + jpeg[2:], replace(LIMITS, parts=50)) == "too-many-parts"


def test_bytes_after_an_image_are_ignored() -> None:
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        data = encoded(Image.fromarray(GREY), kind)
        assert np.array_equal(pixels(data + b"PK\x03\x04 and so on"), pixels(data))


@pytest.mark.parametrize(
    "data", [b"", b"%!PS-Adobe-3.0 EPSF-3.0", b"SIMPLE  =                    T", b"<svg/>", b"P5 9 9 255 "]
)
def test_formats_that_are_not_accepted_reach_no_decoder(data: bytes) -> None:
    assert code(data) == ("unknown-format" if data else "empty-record")


@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_may_be_of_any_integer_type(kind: int, order: str) -> None:
    value = struct.pack(order + {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind], 6).ljust(4, b"\x00")
    magic = b"II*\x00" if order == "<" else b"MM\x00*"
    exif = magic + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)
    turned = np.rot90(GREY, -1)
    for saved, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        seen = pixels(encoded(Image.fromarray(GREY), saved, exif=b"Exif\x00\x00" + exif, **options))
        assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], turned)
    plain = encoded(Image.fromarray(GREY), "TIFF", tiffinfo={0x0112: 3})
    at = plain.index(struct.pack("<HHI", 0x0112, 3, 1))
    if order == "<":
        entry = struct.pack("<HHI", 0x0112, kind, 1) + value
        assert np.array_equal(pixels(plain[:at] + entry + plain[at + 12 :]), turned)


@pytest.mark.parametrize("says", [b'tiff:Orientation="6"', b"tiff:Orientation='6'", b"<tiff:Orientation>6<"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_in_xmp_counts_if_there_is_none_in_exif(kind: str, says: bytes) -> None:
    picture = Image.fromarray(GREY.repeat(4, axis=0).repeat(4, axis=1))
    exact: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}

    def seen(**options: Any) -> NDArray[np.uint8]:
        if kind == "PNG":
            information = PngInfo()
            information.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
            options["pnginfo"] = information
        decoded = pixels(encoded(picture, kind, **exact.get(kind, {}), **options))
        return decoded if decoded.ndim == 2 else decoded[:, :, 0]

    turned = np.rot90(np.asarray(picture), -1)
    exif = Image.Exif()
    exif[0x0112] = 3
    assert np.abs(seen(xmp=says).astype(int) - turned).mean() < 3
    assert np.abs(seen(xmp=says, exif=exif).astype(int) - np.asarray(picture)[::-1, ::-1]).mean() < 3
