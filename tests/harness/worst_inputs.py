"""The worst that may be sent within the default limits: images and archives that cost most.

Found by trying what every accepted format can be made to cost at its limits: filters, interlacing, depths and palettes
of PNG, scans of JPEG, both kinds of WebP, run lengths of BMP, packings, strips, tiles and tags of TIFF, parts of all.
"""

from __future__ import annotations

import bz2
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from engine.limits import Limits
from tests.harness.images import drawn_digits
from tests.hostile.files import RATIONAL, SHORT, chunk, in_jpeg, segment, tiff_of
from tests.hostile.vp8l import of_many_codes
from tests.hostile.zips import BZIP2, Entry, archive

SIDE: Final = 4_000
"""Squared, the most pixels."""
GIF_SIDE: Final = 65_535
"""The longest that the format has."""


def png(width: int, height: int, *, depth: int, colour_type: int, channels: int, level: int = 1) -> bytes:
    """Pack rows that are all predicted by Paeth's filter, the slowest, and yet deflate to little."""
    row_bytes = width * channels * depth // 8
    noise = np.random.default_rng(0).integers(0, 256, 4_064, dtype=np.uint8).tobytes()
    turned = [noise[first : first + 4_000] * (row_bytes // 4_000 + 1) for first in range(64)]
    packer = zlib.compressobj(level)
    rows = [packer.compress(b"\4" + turned[row * 37 % 64][:row_bytes]) for row in range(height)]
    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"".join(rows) + packer.flush())
        + chunk(b"IEND", b"")
    )


def deep_png() -> bytes:
    return png(SIDE, SIDE, depth=16, colour_type=2, channels=3)


def deep_png_with_alpha() -> bytes:
    return png(3_464, 3_464, depth=16, colour_type=6, channels=4)


def jpeg_of_large_scans() -> bytes:
    """Repeat the last scan of a progressive file of noise until the file is as large as may be."""
    grey = np.random.default_rng(0).integers(68, 188, (SIDE // 2, SIDE // 2), dtype=np.uint8)
    grey = np.kron(grey, np.ones((2, 2), np.uint8))
    stream = io.BytesIO()
    Image.fromarray(np.dstack([grey] * 3)).save(stream, "JPEG", quality=30, progressive=True, subsampling=0)
    data = stream.getvalue()
    *_, last = re.finditer(rb"\xff\xc4", data)
    scan = data[last.start() : -2]
    return data[:-2] + scan * ((Limits().image_bytes - len(data)) // len(scan)) + data[-2:]


def endless(data: bytes) -> bytes:
    """Cut off the end marker, so that a JPEG is decoded several times to find out whether pixels are missing."""
    assert data.endswith(b"\xff\xd9")
    return data[:-2]


def endless_progressive_jpeg() -> bytes:
    """Have scans nearly as large as those of a file without an end may be."""
    grey = np.random.default_rng(0).integers(88, 168, (SIDE // 2, SIDE // 2), dtype=np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(np.kron(grey, np.ones((2, 2), np.uint8))).convert("RGB")
    picture.save(stream, "JPEG", quality=15, progressive=True, subsampling=0)
    assert len(stream.getvalue()) < Limits().image_bytes // 4
    return endless(stream.getvalue())


def progressive_jpeg_to_be_reduced() -> bytes:
    """Have as many coefficients as may be, in large scans: of two channels only a quarter."""
    width, height = 6_528, 4_896
    assert width * height * 1.5 * 2 <= Limits().decoded_bytes
    noise = np.random.default_rng(0).integers(68, 188, (height // 2, width // 2), dtype=np.uint8)
    picture = Image.fromarray(np.kron(noise, np.ones((2, 2), np.uint8))).convert("RGB")
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=30, progressive=True, subsampling=2)
    assert len(stream.getvalue()) < Limits().image_bytes
    return stream.getvalue()


def endless_jpeg_to_be_reduced() -> bytes:
    return endless(jpeg_to_be_reduced())


def numbers_tiff(width: int = SIDE) -> bytes:
    stream = io.BytesIO()
    numbers = np.random.default_rng(0).integers(0, 8, (SIDE * SIDE // width, width), dtype=np.int32)
    Image.fromarray(numbers).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()


def wide_numbers_tiff() -> bytes:
    return numbers_tiff(Limits().side_max_px)


def wide_gif() -> bytes:
    """Let a few rows be all of a picture, which has a palette and a transparent colour."""
    stream = io.BytesIO()
    picture = Image.new("P", (GIF_SIDE, SIDE * SIDE // GIF_SIDE))
    picture.putpalette(bytes(range(256)) * 3)
    picture.save(stream, "GIF", transparency=0)
    return stream.getvalue()


def tiff_of_exif_values() -> bytes:
    """Let two pointers of a small picture lead to one directory of as many fractions as are allowed to stand there."""
    exif_at = 100_000
    values_at = exif_at + 100
    count = (Limits().image_bytes - values_at) // 32
    entries = [struct.pack("<2H2I", tag, RATIONAL, count, values_at + tag * count * 8) for tag in range(4)]
    exif = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    stream = io.BytesIO()
    Image.new("L", (28, 28)).save(stream, "TIFF", tiffinfo={34_665: exif_at, 34_853: exif_at})
    return stream.getvalue().ljust(exif_at, b"\0") + exif.ljust(100, b"\0") + struct.pack("<II", 3, 7) * 4 * count


def jpeg_of_exif_values() -> bytes:
    """Cut EXIF data of as many fractions as there is room for into segments of a small picture in CMYK."""
    stream = io.BytesIO()
    Image.new("CMYK", (112, 112)).save(stream, "JPEG")
    fractions = struct.pack("<II", 3, 7) * (Limits().image_bytes // 8 - 10_000)
    exif = tiff_of({0x128: (SHORT, b"\2\0"), 0x11A: (RATIONAL, fractions)}, after=lambda _: {})
    pieces = [b"Exif\0\0" + exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return in_jpeg(stream.getvalue(), *(segment(0xE1, piece) for piece in pieces))


def jpeg_to_be_reduced() -> bytes:
    """Have as many pixels as may be, in nearly as many bytes as may be."""
    width, height = 16_320, 12_240
    assert width * height <= Limits().reduced_pixels
    noise = np.random.default_rng(0).normal(128, 50, (height // 16, width // 16, 3)).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=30)
    return stream.getvalue()


def floats_tiff() -> bytes:
    stream = io.BytesIO()
    numbers = np.random.default_rng(0).integers(0, 8, (SIDE, SIDE)).astype(np.float32)
    Image.fromarray(numbers).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()


def avif_with_alpha() -> bytes:
    """Have detail in every block."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 4), dtype=np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    picture.save(stream, "AVIF", quality=60, speed=10, max_threads=1)
    return stream.getvalue()


def webp_with_alpha() -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    Image.fromarray(noise & np.uint8(0xC0)).save(stream, "WEBP", quality=5, method=0)
    return stream.getvalue()


def zip_of(image: bytes, count: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(count):
            archive.writestr(f"{number}", image)
    packed = stream.getvalue()
    assert len(packed) <= Limits().record_bytes
    return packed


def large_images() -> bytes:
    image = png(2_000, 2_000, depth=16, colour_type=2, channels=3, level=6)
    return zip_of(image, 2 * Limits().archive_decoded_bytes // (2_000 * 2_000 * 6))


def images_of_many_parts() -> bytes:
    small = drawn_digits(1)[0]
    parts = small[:33] + b"".join(chunk(b"tEXt", b"%04d" % (number % 50)) for number in range(9_990)) + small[33:]
    return zip_of(parts, Limits().inflated_bytes // len(parts))


def images_of_many_codes() -> bytes:
    image = of_many_codes(20_000)
    return zip_of(image, Limits().record_bytes // (len(zlib.compress(image, 1)) + 200))


def images_in_bzip2() -> bytes:
    """Pack small images by the slowest method, each with as many bytes after it as an entry may have.

    They are a piece of noise again and again, which fits into a record and yet scatters what bzip2 walks through.
    """
    noise = np.random.default_rng(0).bytes(56 * 1024)
    entry_bytes = Limits().entry_bytes
    image = (drawn_digits(1)[0] + noise * (entry_bytes // len(noise)))[:entry_bytes]
    packed = bz2.compress(image)
    entry = Entry(b"0.png", image, method=BZIP2, packed=packed, crc=zlib.crc32(image))
    return archive(*[entry] * ((Limits().record_bytes - 1_000) // (len(packed) + 200)))


def many_names() -> bytes:
    """Put large images before as many lines of the directory as fit, each of which is looked at in every slice."""
    image = png(2_000, 2_000, depth=16, colour_type=2, channels=3, level=6)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(2 * Limits().archive_decoded_bytes // (2_000 * 2_000 * 6)):
            archive.writestr(f"{number}", image)
        left_bytes = Limits().record_bytes - stream.tell() - 20_000
        name = "a/" * (left_bytes // 9_800 // 4 - 40) + "__MACOSX/x"
        for number in range(9_800):
            archive.writestr(f"{number}/{name}", b"")
    return stream.getvalue()


IMAGES: Final[Mapping[str, Callable[[], bytes]]] = MappingProxyType(
    {
        "PNG, three channels of 16 bits": deep_png,
        "PNG, four channels of 16 bits": deep_png_with_alpha,
        "JPEG, progressive, of large scans": jpeg_of_large_scans,
        "TIFF of long integers": numbers_tiff,
        "TIFF of long integers, wide": wide_numbers_tiff,
        "TIFF of EXIF values": tiff_of_exif_values,
        "JPEG in CMYK, of EXIF values": jpeg_of_exif_values,
        "GIF, wide": wide_gif,
        "JPEG of 200 megapixels": jpeg_to_be_reduced,
        "JPEG, progressive, of 32 megapixels": progressive_jpeg_to_be_reduced,
        "JPEG of 200 megapixels, without an end": endless_jpeg_to_be_reduced,
        "JPEG, progressive, without an end": endless_progressive_jpeg,
        "TIFF of floats": floats_tiff,
        "AVIF with alpha": avif_with_alpha,
        "WebP, lossy, with alpha": webp_with_alpha,
    }
)
RECORDS: Final[Mapping[str, Callable[[], bytes]]] = MappingProxyType(
    {
        "large images": large_images,
        "images of many parts": images_of_many_parts,
        "images of many codes": images_of_many_codes,
        "images in bzip2": images_in_bzip2,
        "a directory of many names": many_names,
    }
)
