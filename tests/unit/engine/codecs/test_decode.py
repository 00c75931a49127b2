"""Pictures: every format decodes to what is meant to be seen, and nothing is decoded that the limits forbid."""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from engine.codecs.decode import decode
from engine.errors import EngineError
from engine.limits import Limits
from tests.harness.images import SEEN_BY_SENSOR

LIMITS = Limits()
RANDOM = np.random.default_rng(0)
GREY = np.kron(RANDOM.integers(0, 256, (5, 4), dtype=np.uint8), np.ones((4, 4), np.uint8))
RGB = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
ALPHA = np.ascontiguousarray(GREY.T[:16, :16].repeat(2, axis=0)[:20, :16])


KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_damaged_and_not_shown_in_part(kind: str) -> None:
    noisy = RANDOM.integers(0, 256, (40, 40), dtype=np.uint8)
    data = encoded(Image.fromarray(noisy), kind)
    for end in (len(data) // 3, len(data) // 2, len(data) * 3 // 4):
        assert code(data[:end]) == "damaged-image"


def test_a_wrong_checksum_of_a_critical_chunk_is_damage() -> None:
    data = encoded(Image.fromarray(GREY), "PNG")
    for at in (17, 30, 50):
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
    raw = b"".join(rows(GREY[top::down, left::across]) for top, left, down, across in passes)
    assert np.array_equal(pixels(png(header(16, 20, interlace=1), raw)[:-12]), GREY)
    assert code(png(header(16, 20, interlace=1), raw[:-1])[:-12]) == "damaged-image"


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"tRNS", b"eXIf"])
def test_an_ancillary_chunk_with_a_wrong_checksum_is_left_out(kind: bytes) -> None:
    body = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    plain = encoded(Image.fromarray(GREY), "PNG")
    wrong = chunk(kind, body)[:-1] + b"\x00"
    assert np.array_equal(pixels(plain[:33] + wrong + plain[33:]), GREY)


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
@pytest.mark.parametrize("kind", ["f4", "f8"])
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


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_of_a_bmp_are_read(bits: int) -> None:
    levels = 2**bits
    grey = np.kron(RANDOM.integers(0, levels, (5, 9), dtype=np.uint8), np.ones((3, 3), np.uint8))
    runs = b""
    for row in grey[::-1]:
        for at in range(0, 27, 9):
            three = row[at : at + 9]
            if at == 9:  # as they are: an even number of bytes
                plain = three.tobytes() if bits == 8 else np.packbits(_nibbles(three)).tobytes()
                runs += bytes([0, 9]) + plain + bytes(len(plain) % 2)
            else:
                runs += b"".join(bytes([3, int(value) * (1 if bits == 8 else 17)]) for value in three[::3])
        runs += b"\x00\x00"
    palette = b"".join(bytes([level * 255 // (levels - 1)] * 3 + [0]) for level in range(levels))
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette))
    info = struct.pack("<I2i2H6I", 40, 27, 15, 1, bits, 1 if bits == 8 else 2, 0, 0, 0, 0, 0)
    seen = pixels(head + info + palette + runs + b"\x00\x01")
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], grey.astype(int) * 255 // (levels - 1))


def _nibbles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return four bits of each value, and of one more."""
    return np.unpackbits(np.append(values, 0).astype(np.uint8)[:, None], axis=1)[:, 4:].ravel()


def test_a_colour_of_a_small_bmp_header_is_not_taken_for_its_compression() -> None:
    palette = b"\x00\x00\x00\xff" + b"\x01\x00\x00\x00" + bytes(256 * 3 - 8)
    head = struct.pack("<2sIHHIIHHHH", b"BM", 0, 0, 0, 26 + len(palette), 12, 30_000, 30_000, 1, 8)
    assert (head + palette)[30:34] == b"\x01\x00\x00\x00"
    assert code(head + palette) == "too-many-pixels"
