"""Pictures that are unusual but right, and pictures that are broken."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from contract.errors import ErrorCode
from tests.harness.images import SEEN_BY_SENSOR
from tests.hostile.case import DIGIT, READ, SEVEN, Case, Cases, encoded, fails, read, seven
from tests.hostile.files import PNG_MAGIC, after_header, bmp, chunk, in_jpeg, png, png_header, segment

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")
_PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def pictures() -> Cases:
    """Every picture by name."""
    return _depths() | _colours() | _animated() | _turned() | _cut_short() | _broken()


def _depths() -> dict[str, Case]:
    grey = np.asarray(seven())
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    interlaced = b"".join(_rows(grey[top::down, left::across]) for top, left, down, across in _PASSES)
    few = {depth: np.packbits(_bits(grey >> 8 - depth, depth), axis=1) for depth in (1, 2, 4)}
    floats = encoded(Image.fromarray(grey.astype(np.float32)), "TIFF")
    return {
        **{
            f"a PNG of {depth} bit": read(png(png_header(112, 112, depth), _rows(packed)))
            for depth, packed in few.items()
        },
        "a PNG of 16 bit": read(encoded(deep, "PNG")),
        "a PNG of 16 bit and three colours": read(png(png_header(112, 112, 16, 2), _rows(np.repeat(grey, 6, axis=1)))),
        "a TIFF of 16 bit": read(encoded(deep, "TIFF")),
        "a TIFF of 32 bit": read(encoded(Image.fromarray(grey.astype(np.int32) << 20), "TIFF")),
        "a TIFF of floats": read(floats),
        "a TIFF of floats that are no numbers": Case(floats[:-40_000] + b"\xff\xff\xff\x7f" * 10_000, [READ]),
        "a bitmap": read(encoded(seven("1"), "TIFF", compression="group4")),
        "an interlaced PNG": read(png(png_header(112, 112, interlace=1), interlaced)),
    }


def _rows(values: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    return b"".join(b"\x00" + row.tobytes() for row in values)


def _bits(values: np.ndarray[Any, np.dtype[Any]], depth: int) -> np.ndarray[Any, np.dtype[Any]]:
    shifts = np.arange(depth - 1, -1, -1)
    return (values[:, :, None] >> shifts & 1).reshape(len(values), -1)


def _colours() -> dict[str, Case]:
    palette = seven().quantize(16)
    top_down = bmp(112, -112, np.asarray(seven()).tobytes())
    return {
        "CMYK": read(encoded(seven("CMYK"), "JPEG", quality=95)),
        "CMYK of many pictures": read(_of_many(encoded(seven("CMYK"), "JPEG", quality=95))),
        "CMYK in a TIFF": read(encoded(seven("CMYK"), "TIFF")),
        "Lab in a TIFF": read(encoded(seven("LAB"), "TIFF")),
        "YCbCr in a TIFF": Case(encoded(seven("YCbCr"), "TIFF"), [READ]),
        "a progressive JPEG": read(encoded(seven("RGB"), "JPEG", quality=95, progressive=True)),
        "a palette": read(encoded(palette, "PNG")),
        "a palette with a transparent colour": Case(encoded(palette, "PNG", transparency=0), [READ]),
        "a palette with transparent colours": Case(encoded(palette, "PNG", transparency=bytes(range(16))), [READ]),
        "a palette that lacks its colours": fails(
            png(png_header(28, 28, 8, 3), _rows(np.zeros((28, 28), np.uint8))), ErrorCode.DAMAGED_IMAGE
        ),
        "a GIF with a transparent colour": Case(encoded(palette, "GIF", transparency=0), [READ]),
        "grey with a transparent colour": Case(encoded(seven(), "PNG", transparency=0), [READ]),
        "alpha": read(encoded(seven("LA"), "PNG")),
        "nothing but alpha": Case(encoded(Image.new("RGBA", (28, 28)), "PNG"), [READ]),
        "a BMP from top to bottom": read(top_down),
        "a picture without ink": Case(encoded(Image.new("L", (28, 28)), "PNG"), [READ]),
        "a strip of eight by a million": Case(encoded(Image.new("L", (1_000_000, 8)), "PNG"), [READ]),
        "a GIF of few rows and a transparent colour": Case(
            encoded(Image.new("P", (65_535, 244)), "GIF", transparency=0), [READ]
        ),
        "a TIFF of floats and few rows": Case(
            encoded(Image.new("F", (1_000_000, 16)), "TIFF", compression="tiff_adobe_deflate"), [READ]
        ),
        "a strip of eight by two million": fails(
            encoded(Image.new("L", (2_000_000, 8)), "PNG"), ErrorCode.SIDE_TOO_LONG
        ),
    }


def _of_many(jpeg: bytes) -> bytes:
    """Say that more pictures follow in the same file, as some cameras do: Pillow has a format of its own for that."""
    index = struct.pack(">4sIH", b"MM\x00*", 8, 3)
    index += struct.pack(">2HI4s", 0xB000, 7, 4, b"0100") + struct.pack(">2H2I", 0xB001, 4, 1, 2)
    index += struct.pack(">2H2II", 0xB002, 7, 32, 50, 0) + struct.pack(">3I2H", 0x30000, len(jpeg), 0, 0, 0) * 2
    return in_jpeg(jpeg, segment(0xE2, b"MPF\x00" + index))


def _animated() -> dict[str, Case]:
    others = [seven().transpose(Image.Transpose.ROTATE_90), Image.new("L", (112, 112), 255)]
    exact: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}}
    return {
        "an interlaced GIF": read(encoded(seven(), "GIF", interlace=1)),
        "a GIF row by row": read(encoded(seven(), "GIF", interlace=0)),
    } | {
        f"an animated {kind}": read(encoded(seven(), kind, save_all=True, append_images=others, **exact.get(kind, {})))
        for kind in ("PNG", "GIF", "WEBP", "TIFF")
    }


def _turned() -> dict[str, Case]:
    cases = {}
    for held in (*range(1, 9), 0, 9, 65_535):
        exif = Image.Exif()
        exif[0x0112] = held
        stored = seven().transpose(SEEN_BY_SENSOR[held]) if held in SEEN_BY_SENSOR else seven()
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            cases[f"a {kind} held the way {held}"] = read(encoded(stored, kind, exif=exif))
    return cases | _turned_by_text()


def _turned_by_text() -> dict[str, Case]:
    stored = seven().transpose(SEEN_BY_SENSOR[6])
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = b"\nexif\n      32\n" + exif.tobytes().hex().encode()
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    deflated = zlib.compress(profile + b"0" * 100_000_000, 9)
    keyword = b"Raw profile type exif\x00"
    return {
        "a PNG turned by a profile": read(after_header(encoded(stored, "PNG"), chunk(b"tEXt", keyword + profile))),
        "a PNG turned by a profile that inflates to 100 MB": read(
            after_header(encoded(stored, "PNG"), chunk(b"zTXt", keyword + b"\x00" + deflated))
        ),
        "a JPEG turned by XMP": read(
            in_jpeg(encoded(stored, "JPEG"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + xmp))
        ),
    }


def _cut_short() -> dict[str, Case]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    cases = {}
    for kind in FORMATS:
        data = encoded(noise, kind)
        for share in (25, 50, 90):
            cut = data[: len(data) * share // 100]
            cases[f"{share} % of a {kind}"] = fails(cut, ErrorCode.DAMAGED_IMAGE)
    return cases


def _broken() -> dict[str, Case]:
    damaged = ErrorCode.DAMAGED_IMAGE
    grey = np.asarray(Image.open(io.BytesIO(SEVEN)).convert("L"))
    plain = png(png_header(28, 28), _rows(grey))
    places = {"header": 17, "pixels": 50}
    jpeg = encoded(seven(), "JPEG", quality=95)
    scan_at = jpeg.index(b"\xff\xda")
    magics = {
        "PNG": PNG_MAGIC, "JPEG": b"\xff\xd8\xff", "GIF": b"GIF89a", "BMP": b"BM", "TIFF": b"II*\x00",
        "WebP": b"RIFF\x00\x00\x00\x00WEBP",
    }  # fmt: skip
    return {
        **{
            f"a wrong checksum of the {what}": fails(plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1 :], damaged)
            for what, at in places.items()
        },
        **{f"nothing but the first bytes of a {kind}": fails(magic, damaged) for kind, magic in magics.items()},
        **{f"a {kind} of zeros": fails(magic + bytes(500), damaged) for kind, magic in magics.items()},
        "a PNG without pixels": fails(PNG_MAGIC + chunk(b"IHDR", png_header(28, 28)) + chunk(b"IEND", b""), damaged),
        "a PNG without a header": fails(PNG_MAGIC + chunk(b"IEND", b""), damaged),
        "a PNG of half its rows": fails(png(png_header(28, 28), _rows(grey)[:400]), damaged),
        "a PNG with a filter that does not exist": fails(png(png_header(28, 28), b"\x09" * 29 * 28), damaged),
        "a PNG of 3 bit": fails(png(png_header(28, 28, 3), _rows(grey)), damaged),
        "a PNG without a row": fails(png(png_header(28, 0), b""), ErrorCode.IMAGE_TOO_SMALL),
        "a PNG whose header comes twice": fails(after_header(plain, chunk(b"IHDR", png_header(9_999, 9_999))), damaged),
        "a PNG with an unknown critical chunk": read(after_header(plain, chunk(b"ABCD", b"x" * 100))),
        "a JPEG without pixels": fails(jpeg[:scan_at] + b"\xff\xd9", damaged),
        "a JPEG with an empty scan": Case(jpeg[: scan_at + 10] + b"\xff\xd9", [READ]),
        "a JPEG with a second header": fails(in_jpeg(jpeg, segment(0xC0, bytes(9))), damaged),
        "a picture of one pixel": fails(encoded(Image.new("L", (1, 1)), "PNG"), ErrorCode.IMAGE_TOO_SMALL),
        "a good picture at last": Case(SEVEN, [DIGIT]),
    }
