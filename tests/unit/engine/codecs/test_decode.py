"""Pictures: every format decodes to what is meant to be seen, and nothing is decoded that the limits forbid."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.codecs.decode import decode
from engine.errors import EngineError
from engine.limits import Limits
from tests.harness.images import SEEN_BY_SENSOR

LIMITS = Limits()
RANDOM = np.random.default_rng(0)
GREY = np.kron(RANDOM.integers(0, 256, (5, 4), dtype=np.uint8), np.ones((4, 4), np.uint8))
RGB = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
ALPHA = np.ascontiguousarray(GREY.T[:16, :16].repeat(2, axis=0)[:20, :16])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    return decode(data, limits).pixels


def code(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(EngineError) as caught:
        decode(data, limits)
    return caught.value.code


def png(header: bytes, raw: bytes, *extra: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour_type: int = 0, interlace: int = 0) -> bytes:
    return struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, interlace)


def rows(values: NDArray[Any]) -> bytes:
    return b"".join(b"\x00" + row.tobytes() for row in values)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_grey_pictures_come_out_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = pixels(encoded(Image.fromarray(GREY), kind, **options))
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colours_come_out_in_the_order_red_green_blue(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(encoded(Image.fromarray(RGB), kind, **options)), RGB)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_comes_out_nearly_as_it_was(*, progressive: bool) -> None:
    grey = pixels(encoded(Image.fromarray(GREY), "JPEG", quality=95, progressive=progressive))
    assert np.abs(grey.astype(int) - GREY).mean() < 3
    colour = pixels(encoded(Image.fromarray(RGB), "JPEG", quality=95, subsampling=0, progressive=progressive))
    assert np.abs(colour.astype(int) - RGB).mean() < 5


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


@pytest.mark.parametrize("transparency", [3, bytes(range(0, 256, 4))])
def test_a_transparent_colour_of_a_palette_becomes_alpha(transparency: Any) -> None:
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    data = encoded(image, "PNG", transparency=transparency)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))


def test_a_transparent_colour_of_a_gif_becomes_alpha() -> None:
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    data = encoded(image, "GIF", transparency=3)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))


def test_a_transparent_grey_becomes_alpha() -> None:
    seen = pixels(encoded(Image.fromarray(GREY), "PNG", transparency=int(GREY[0, 0])))
    assert np.array_equal(seen[:, :, 1] == 0, np.equal(GREY, GREY[0, 0]))


def test_a_transparent_colour_becomes_alpha() -> None:
    colour = tuple(int(value) for value in RGB[0, 0])
    seen = pixels(encoded(Image.fromarray(RGB), "PNG", transparency=colour))
    assert np.array_equal(seen[:, :, 3] == 0, np.equal(RGB, RGB[0, 0]).all(axis=2))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encoded(deep, kind)), GREY)
    grey_alpha = np.dstack([GREY, ALPHA]).astype(np.uint16) * 257
    raw = rows(grey_alpha.astype(">u2").reshape(20, -1))
    seen = pixels(png(header(16, 20, 16, 4), raw))
    assert np.array_equal(seen[:, :, 0], GREY)
    assert np.array_equal(seen[:, :, -1], ALPHA)


def test_the_order_of_a_sixteen_bit_tiffs_bytes_does_not_matter() -> None:
    fields = [(256, 4, 1, 16), (257, 4, 1, 20), (258, 3, 1, 16 << 16), (262, 3, 1, 1 << 16), (273, 4, 1, 110)]
    fields += [(277, 3, 1, 1 << 16), (278, 4, 1, 20), (279, 4, 1, 640)]
    directory = struct.pack(">H", len(fields)) + b"".join(struct.pack(">2H2I", *field) for field in fields) + bytes(4)
    values = (GREY.astype(np.uint16) * 257).astype(">u2").tobytes()
    assert np.array_equal(pixels(b"MM\x00*\x00\x00\x00\x08" + directory + values), GREY)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_scaled_to_eight(depth: int) -> None:
    levels = 2**depth
    packed = RANDOM.integers(0, 256, (9, 2), dtype=np.uint8)
    bits = np.unpackbits(packed, axis=1).reshape(9, -1, depth)
    values = bits @ (2 ** np.arange(depth - 1, -1, -1))
    assert np.array_equal(
        pixels(png(header(16 // depth, 9, depth), rows(packed)), replace(LIMITS, side_min_px=1)),
        values * (255 // (levels - 1)),
    )


def test_an_interlaced_png_is_put_in_order() -> None:
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(rows(GREY[top::down, left::across]) for top, left, down, across in passes)
    assert np.array_equal(pixels(png(header(16, 20, interlace=1), raw)), GREY)


def test_cmyk_is_shown_as_pillow_shows_it() -> None:
    data = encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


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


@pytest.mark.parametrize(
    "exif", [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"MM\x00*\x00\x00\x00\x08\xff\xff", b"nonsense"]
)
def test_an_image_with_damaged_metadata_is_read(exif: bytes) -> None:
    plain = encoded(Image.fromarray(GREY), "PNG")
    assert np.array_equal(pixels(plain[:33] + chunk(b"eXIf", exif) + plain[33:]), GREY)


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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_too_many_pixels_are_refused(kind: str) -> None:
    data = encoded(Image.fromarray(GREY), kind)
    assert code(data, replace(LIMITS, pixels=GREY.size - 1)) == "too-many-pixels"
    assert pixels(data, replace(LIMITS, pixels=GREY.size)).shape[:2] == GREY.shape


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_side_below_the_limit_is_refused(kind: str) -> None:
    assert code(encoded(Image.fromarray(GREY[:7]), kind)) == "image-too-small"
    assert code(encoded(Image.fromarray(GREY[:, :7]), kind)) == "image-too-small"
    assert pixels(encoded(Image.fromarray(GREY[:8, :8]), kind)).shape[:2] == (8, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_too_many_bytes_are_refused(kind: str) -> None:
    data = encoded(Image.fromarray(GREY), kind)
    assert code(data, replace(LIMITS, image_bytes=len(data) - 1)) == "image-too-large"


def test_huge_dimensions_in_a_small_file_are_refused_before_a_pixel_is_decoded() -> None:
    assert code(png(header(2**31 - 1, 2**31 - 1), b"")) == "too-many-pixels"
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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_short_is_damaged_and_not_shown_in_part(kind: str) -> None:
    noisy = RANDOM.integers(0, 256, (40, 40), dtype=np.uint8)
    data = encoded(Image.fromarray(noisy), kind)
    for end in (len(data) // 3, len(data) // 2, len(data) * 3 // 4):
        assert code(data[:end]) == "damaged-image"


def test_a_wrong_checksum_is_damage_wherever_it_is() -> None:
    data = encoded(Image.fromarray(GREY), "PNG")
    for at in (17, 30, 50, len(data) - 5):
        assert code(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "damaged-image"


def test_pixels_that_end_too_early_are_damage() -> None:
    assert code(png(header(16, 20), rows(GREY)[:100])) == "damaged-image"


@pytest.mark.parametrize(
    "impossible",
    [
        header(16, 20, 3),
        header(16, 20, 8, 5),
        header(16, 20, 16, 3),
        header(16, 20, interlace=2),
        b"short",
        header(0, 20),
    ],
)
def test_an_impossible_header_is_refused(impossible: bytes) -> None:
    assert code(png(impossible, rows(GREY))) in ("damaged-image", "image-too-small")


def test_metadata_is_never_inflated() -> None:
    bomb = zlib.compress(bytes(100_000_000), 9)
    plain = encoded(Image.fromarray(GREY), "PNG")
    text, profile = chunk(b"zTXt", b"k\x00\x00" + bomb), chunk(b"iCCP", b"k\x00\x00" + bomb)
    assert np.array_equal(pixels(plain[:33] + profile + text + plain[33:]), GREY)


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


def test_a_tiff_of_floats_is_scaled_by_its_own_range() -> None:
    seen = pixels(encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"))
    assert np.abs(seen.astype(int) - GREY).max() <= max(1, int(GREY.min()) + 255 - int(GREY.max()))


def test_an_error_names_no_bytes_of_the_file() -> None:
    with pytest.raises(EngineError) as caught:
        decode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x1b[31m", LIMITS)
    assert str(caught.value).isprintable()
