"""Pictures that are small to send and large to decode, and metadata that no decoder should unpack."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

from PIL import Image

from contract.errors import ErrorCode
from tests.hostile.case import READ, SEVEN, Case, Cases, encoded, fails, read, seven
from tests.hostile.files import (
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    after_header,
    bmp,
    box,
    chunk,
    gif,
    heif,
    in_jpeg,
    made_of,
    png,
    png_header,
    riff,
    segment,
    sized,
    tiff,
    tiff_of,
    webp,
)

_PIXELS: Final = ErrorCode.TOO_MANY_PIXELS
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_AT, _STRIP_ROWS, _STRIP_BYTES = (
    *(256, 257, 258, 259, 262, 273, 278, 279),
)
_DEFLATE: Final = 8


def bombs() -> Cases:
    """Every bomb by name."""
    return _dimensions() | _pixels() | _tiffs() | _parts() | _metadata() | _webp_metadata() | _boxes()


def _dimensions() -> dict[str, Case]:
    jpeg = bytearray(encoded(seven(), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    lossless = bytes([0x2F]) + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(20)
    return {
        "a PNG of 4,611,686,014,132,420,609 pixels": fails(png(png_header(2**31 - 1, 2**31 - 1), b""), _PIXELS),
        "a JPEG of 20,000 by 20,000": fails(_resized(bytes(jpeg), 20_000, 20_000), _PIXELS),
        "a JPEG of 14,142 by 14,142 in no bytes": Case(_resized(bytes(jpeg), 14_142, 14_142), [READ]),
        "a progressive JPEG of 14,142 by 14,142": fails(
            _resized(encoded(seven(), "JPEG", progressive=True), 14_142, 14_142, frame=b"\xff\xc2"), _PIXELS
        ),
        "a PNG of one pixel too many": fails(encoded(Image.new("1", (16_000_001, 8)), "PNG"), _PIXELS),
        "a JPEG of 65,535 by 65,535": fails(bytes(jpeg), _PIXELS),
        "a GIF of 65,535 by 65,535": fails(gif(65_535, 65_535, b""), _PIXELS),
        "a GIF whose frame is larger than it": fails(gif(28, 28, b"", frame=(65_535, 65_535)), _PIXELS),
        "a BMP of a billion by a billion": fails(bmp(2**30, 2**30, b""), _PIXELS),
        "a BMP of minus a billion": fails(bmp(2**30, -(2**30), b""), _PIXELS),
        "a BMP of a negative width": fails(bmp(-28, 28, b""), _PIXELS),
        "a TIFF of four billion by four billion": fails(_tiff(2**32 - 1, 2**32 - 1, b""), _PIXELS),
        "a WebP of 16,777,216 by 16,777,216": fails(webp(riff(b"VP8X", bytes(4) + b"\xff" * 6)), _PIXELS),
        "a lossless WebP of 16,384 by 16,384": fails(webp(riff(b"VP8L", lossless)), _PIXELS),
        "a lossy WebP of 16,383 by 16,383": fails(
            webp(riff(b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a" + b"\xff" * 9)), _PIXELS
        ),
    }


def _resized(jpeg: bytes, width: int, height: int, *, frame: bytes = b"\xff\xc0") -> bytes:
    at = jpeg.index(frame) + 5
    return jpeg[:at] + struct.pack(">2H", height, width) + jpeg[at + 4 :]


def _boxes() -> dict[str, Case]:
    """HEIF and AVIF: containers that say more than they hold."""
    damaged, parts = ErrorCode.DAMAGED_IMAGE, ErrorCode.TOO_MANY_PARTS
    small = sized((28, 28), (512, 512), of={1: [1], 2: [2]})
    deep = box(b"moov")
    for _ in range(2_000):
        deep = box(b"moov", deep)
    frames = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsz", b"\0" * 8 + b"\xff" * 4))))))
    avif, heic = encoded(seven("RGB"), "AVIF", quality=90), encoded(seven("RGB"), "HEIF", quality=90)
    size = struct.pack(">2I", 112, 112)
    huge = struct.pack(">2I", 2**32 - 1, 2**32 - 1)
    return {
        f"a {kind} {what}": case
        for kind, data, brand in (("HEIC", heic, b"heic"), ("AVIF", avif, b"avif"))
        for what, case in {
            "of four billion by four billion": fails(data.replace(size, huge), _PIXELS),
            "without pixels": fails(heif(small, brand=brand), damaged),
            "without a size": fails(heif(brand=brand), damaged),
            "of ten thousand boxes": fails(heif(box(b"free") * 10_001, brand=brand), parts),
            "of boxes in boxes": fails(heif(brand=brand, after=deep), damaged),
            "whose box is longer than it": fails(heif(b"\xff\xff\xff\xffipco", brand=brand), damaged),
            "whose box is shorter than its head": fails(heif(b"\x00\x00\x00\x04ipco", brand=brand), damaged),
            "whose box has no size": fails(heif(b"\x00\x00\x00\x01ipco" + b"\xff" * 8, brand=brand), damaged),
            "that is made of itself": fails(heif(small, made_of(1, 1, 1), brand=brand), parts),
            "whose one tile is used three thousand times": fails(
                heif(small, made_of(1, *[2] * 3_000), brand=brand), ErrorCode.DECODES_TOO_LARGE
            ),
            "of ten thousand references": fails(heif(small, made_of(1, *[2] * 10_001), brand=brand), parts),
            "of four billion frames": fails(heif(small, brand=brand, after=frames), ErrorCode.TOO_MANY_FRAMES),
            "of four billion items with properties": fails(
                heif(box(b"iprp", box(b"ipma", bytes(4) + b"\xff" * 4)), brand=brand), damaged
            ),
        }.items()
    }


def _tiff(width: int, height: int, packed: bytes, **options: Any) -> bytes:
    fields = {_WIDTH: (LONG, width), _HEIGHT: (LONG, height), _BITS: (SHORT, 8), _COMPRESSION: (SHORT, _DEFLATE)}
    fields |= {_PHOTOMETRIC: (SHORT, 1), _STRIP_AT: (LONG, 8 + 2 + 8 * 12 + 4), _STRIP_ROWS: (LONG, height)}
    return tiff(fields | {_STRIP_BYTES: (LONG, len(packed))}, after=packed, **options)


def _tiled(packed: bytes) -> bytes:
    fields = {_WIDTH: (LONG, 28), _HEIGHT: (LONG, 28), _BITS: (SHORT, 8), _COMPRESSION: (SHORT, _DEFLATE)}
    fields |= {_PHOTOMETRIC: (SHORT, 1), 322: (LONG, 30_000), 323: (LONG, 30_000), 324: (LONG, 8 + 2 + 9 * 12 + 4)}
    return tiff(fields | {325: (LONG, len(packed))}, after=packed)


def _pixels() -> dict[str, Case]:
    """Files whose dimensions are small, and whose pixels are not."""
    zeros = zlib.compress(bytes(20_000_000), 9)
    many_codes = b"\x00\x01" * 200_000
    return {
        "a PNG whose pixels go on and on": Case(png(png_header(28, 28), bytes(20_000_000)), [READ]),
        "a PNG of many pixels, all alike": Case(png(png_header(4_000, 4_000), bytes(4_001 * 4_000)), [READ]),
        "a PNG of many deep pixels, all alike": fails(
            png(png_header(4_000, 4_000, 16, 6), b""), ErrorCode.DECODES_TOO_LARGE
        ),
        "a JPEG of many pixels, all alike": Case(encoded(Image.new("L", (4_000, 4_000), 200), "JPEG"), [READ]),
        "a WebP of many pixels, all alike": Case(encoded(Image.new("RGB", (4_000, 4_000), "red"), "WEBP"), [READ]),
        "a lossless WebP of many pixels, all alike": Case(
            encoded(Image.new("RGB", (4_000, 4_000), "red"), "WEBP", lossless=True), [READ]
        ),
        "a TIFF of many pixels, all alike": Case(
            encoded(Image.new("L", (4_000, 4_000), 200), "TIFF", compression="tiff_adobe_deflate"), [READ]
        ),
        "a TIFF whose strip goes on and on": Case(_tiff(28, 28, zeros), [READ]),
        "a TIFF whose tile is larger than it": fails(_tiled(zlib.compress(bytes(1_000_000), 9)), _PIXELS),
        "a TIFF whose tile is two sizes at once": fails(
            _tiled(zeros).replace(struct.pack("<2H2I", 323, LONG, 1, 30_000), struct.pack("<2H2I", 322, LONG, 1, 16)),
            ErrorCode.DAMAGED_IMAGE,
        ),
        "a TIFF of many pixels in no bytes": fails(_tiff(4_000, 4_000, b""), ErrorCode.DAMAGED_IMAGE),
        "a GIF whose codes go on and on": Case(gif(28, 28, many_codes), [READ]),
        "a BMP of runs that go on and on": fails(
            bmp(28, 28, b"\xff\x00" * 500_000, compression=1), ErrorCode.DAMAGED_IMAGE
        ),
        "a BMP of eight million runs of one pixel": fails(
            bmp(4_000, 4_000, b"\x01\x07" * 8_000_000, compression=1), ErrorCode.DAMAGED_IMAGE
        ),
        "a BMP of runs": read(bmp(112, 112, _runs(), compression=1)),
        "a BMP of many pixels in no bytes": Case(bmp(4_000, 4_000, b"\x00\x01", compression=1), [READ]),
    }


def _tiffs() -> dict[str, Case]:
    """Files whose strips or tiles are more than the picture, or more than the file."""
    many = 10_000
    grey = {_BITS: _short(8), _COMPRESSION: _short(_DEFLATE), _PHOTOMETRIC: _short(1)}
    tile = zlib.compress(bytes(16 * 99_984), 9)
    tall = grey | {_WIDTH: _long(1_600), _HEIGHT: _long(16), 322: _long(16), 323: _long(99_984)}
    strips = grey | {_WIDTH: _long(112), _HEIGHT: _long(112), _STRIP_ROWS: _long(111), _COMPRESSION: _short(1)}
    picture = {**grey, _WIDTH: _long(112), _HEIGHT: _long(112), _COMPRESSION: _short(1), _STRIP_ROWS: _long(112)}
    pixels = seven().tobytes()

    def pieces(place_tag: int, bytes_tag: int, size_bytes: int, *, claimed: int | None = None, count: int) -> Any:
        def after(at: int) -> dict[int, tuple[int, bytes]]:
            places = struct.pack("<I", at) * count
            return {
                place_tag: (LONG, places),
                bytes_tag: (LONG, struct.pack("<I", size_bytes if claimed is None else claimed) * count),
            }

        return after

    def one_strip(at: int) -> dict[int, tuple[int, bytes]]:
        return {_STRIP_AT: _long(at), _STRIP_BYTES: _long(len(pixels))}

    return {
        "a TIFF whose tiles share their bytes": fails(
            tiff_of(tall, after=pieces(324, 325, len(tile), count=100)) + tile, ErrorCode.DAMAGED_IMAGE
        ),
        "a TIFF whose tiles share their bytes and say they have none": fails(
            tiff_of(tall, after=pieces(324, 325, 0, count=100)) + tile, ErrorCode.DECODES_TOO_LARGE
        ),
        "a TIFF of ten thousand strips of nearly all of it": fails(
            tiff_of(strips, after=pieces(_STRIP_AT, _STRIP_BYTES, 0, count=many)) + pixels,
            ErrorCode.DECODES_TOO_LARGE,
        ),
        "a TIFF of ten thousand and one strips": fails(
            tiff_of(strips, after=pieces(_STRIP_AT, _STRIP_BYTES, 0, count=many + 1)) + pixels,
            ErrorCode.TOO_MANY_PARTS,
        ),
        "a TIFF of a million strips, each at a byte": fails(
            tiff_of(strips | {_STRIP_AT: (BYTE, bytes(1_000_000))}, after=lambda _: {}) + pixels,
            ErrorCode.TOO_MANY_PARTS,
        ),
        "a TIFF whose resolution is a million numbers": fails(
            tiff_of(picture | {282: (RATIONAL, bytes(8_000_000))}, after=one_strip) + pixels,
            ErrorCode.TOO_MANY_PARTS,
        ),
        "a TIFF with two megabytes of a profile": read(
            tiff_of(picture | {34_675: (7, b"\xff" * 2_000_000)}, after=one_strip) + pixels
        ),
        "a TIFF with two megabytes of XMP": read(
            tiff_of(picture | {700: (1, b"<" * 2_000_000)}, after=one_strip) + pixels
        ),
    }


def _short(value: int) -> tuple[int, bytes]:
    return SHORT, struct.pack("<H", value)


def _long(value: int) -> tuple[int, bytes]:
    return LONG, struct.pack("<I", value)


def _runs() -> bytes:
    rows = seven().transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    runs = b"".join(b"\x01" + rows[at : at + 1] + (b"" if (at + 1) % 112 else b"\x00\x00") for at in range(len(rows)))
    return runs + b"\x00\x01"


def _in_a_circle(tiff: bytes) -> bytes:
    """Let the only page be followed by itself."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    next_at = at + 2 + 12 * struct.unpack_from("<H", tiff, at)[0]
    return tiff[:next_at] + struct.pack("<I", at) + tiff[next_at + 4 :]


def _parts() -> dict[str, Case]:
    plain = encoded(seven(), "JPEG", progressive=True)
    scan_at = plain.rindex(b"\xff\xda")
    scans = plain[:scan_at] + plain[scan_at:-2] * 101 + b"\xff\xd9"
    frame = riff(b"ANMF", bytes(16) + riff(b"VP8L", bytes(10)))
    return {
        "a PNG of ten thousand chunks": fails(
            after_header(SEVEN, chunk(b"tEXt", b"k\x00") * 10_000), ErrorCode.TOO_MANY_PARTS
        ),
        "a PNG that says it has four billion frames": read(
            after_header(SEVEN, chunk(b"acTL", struct.pack(">2I", 2**32 - 1, 0)))
        ),
        "a PNG of a thousand and one frames": fails(
            after_header(SEVEN, *[chunk(b"fcTL", bytes(26))] * 1_001), ErrorCode.TOO_MANY_FRAMES
        ),
        "a JPEG of ten thousand segments": fails(in_jpeg(plain, segment(0xFE, b"") * 10_000), ErrorCode.TOO_MANY_PARTS),
        "a JPEG of a hundred scans more": fails(scans, ErrorCode.TOO_MANY_SCANS),
        "a JPEG with a megabyte of fill bytes": read(plain[:2] + b"\xff" * 1_000_000 + plain[3:]),
        "a GIF of a thousand and one frames": fails(gif(28, 28, b"", count=1_001), ErrorCode.TOO_MANY_FRAMES),
        "a GIF in pieces of one byte": fails(
            gif(28, 28, b"")[:-1] + b"!\xfe" + b"\x01x" * 200_000 + b"\x00;", ErrorCode.TOO_MANY_PARTS
        ),
        "a TIFF whose pages go round in a circle": read(_in_a_circle(encoded(seven(), "TIFF"))),
        "a WebP of a thousand and one frames": fails(
            webp(riff(b"VP8X", b"\x02" + bytes(3) + b"\x1b\x00\x00" * 2), riff(b"ANIM", bytes(6)), frame * 1_001),
            ErrorCode.TOO_MANY_FRAMES,
        ),
        "a WebP of ten thousand chunks": fails(
            webp(riff(b"VP8X", bytes(10)), riff(b"JUNK", b"") * 10_000), ErrorCode.TOO_MANY_PARTS
        ),
    }


def _metadata() -> dict[str, Case]:
    bomb = zlib.compress(bytes(50_000_000), 9)
    jpeg = encoded(seven(), "JPEG", quality=95)
    loop = (
        b"II*\x00\x08\x00\x00\x00"
        + struct.pack("<H", 1)
        + struct.pack("<2H2I", 0x8769, LONG, 1, 8)
        + b"\x08\x00\x00\x00"
    )
    much = b"II*\x00\x08\x00\x00\x00" + b"\xff\xff" + struct.pack("<2H2I", 0x9286, 7, 2**32 - 1, 0) * 5_000
    comment = b"!\xfe" + (b"\xff" + b"\x1b[2J " * 42 + b"abc") * 200
    profile = b"ICC_PROFILE\x00\x01\xff" + bytes(60_000)
    return {
        "a zTXt that inflates to 50 MB": read(after_header(SEVEN, chunk(b"zTXt", b"k\x00\x00" + bomb))),
        "an iTXt that inflates to 50 MB": read(after_header(SEVEN, chunk(b"iTXt", b"k\x00\x01\x00\x00\x00" + bomb))),
        "an iCCP that inflates to 50 MB": read(after_header(SEVEN, chunk(b"iCCP", b"k\x00\x00" + bomb))),
        "a PNG with EXIF in a circle": read(after_header(SEVEN, chunk(b"eXIf", loop))),
        "a PNG with EXIF that never ends": read(after_header(SEVEN, chunk(b"eXIf", much))),
        "a PNG with a megabyte of text": read(after_header(SEVEN, chunk(b"tEXt", b"k\x00" + b"x" * 1_000_000))),
        "a JPEG with EXIF in a circle": read(in_jpeg(jpeg, segment(0xE1, b"Exif\x00\x00" + loop))),
        "a JPEG with EXIF that never ends": read(in_jpeg(jpeg, segment(0xE1, b"Exif\x00\x00" + much[:60_000]))),
        "a JPEG with fifteen megabytes of profiles": read(in_jpeg(jpeg, segment(0xE2, profile) * 250)),
        "a JPEG with XMP in a hundred parts": read(
            in_jpeg(jpeg, segment(0xE1, b"http://ns.adobe.com/xmp/extension/\x00" + b"<" * 60_000) * 100)
        ),
        "a GIF with a long comment": read(_commented(comment)),
        "a GIF with a megabyte of a profile": read(_commented(b"!\xff\x0bICCRGBG1012" + (b"\xff" * 256) * 4_000)),
        "a GIF with a megabyte of XMP": read(_commented(b"!\xff\x0bXMP DataXMP" + (b"\xff" + b"<" * 255) * 4_000)),
        "a TIFF with tags of four billion values": fails(
            tiff({_WIDTH: (LONG, 28), _HEIGHT: (LONG, 28), 270: (2, 0), 33_723: (1, 8)}, count=2**32 - 1),
            ErrorCode.DAMAGED_IMAGE,
        ),
    }


def _commented(comment: bytes) -> bytes:
    plain = encoded(seven(), "GIF")
    return plain[:-1] + comment + b"\x00;"


def _webp_metadata() -> dict[str, Case]:
    plain = encoded(seven(), "WEBP", lossless=True)[12:]
    extended = riff(b"VP8X", b"\x2c" + bytes(3) + struct.pack("<I", 111)[:3] * 2)
    return {
        f"a WebP with a large {kind.decode().strip()}": read(webp(extended, plain, riff(kind, b"\xff" * 1_000_000)))
        for kind in (b"ICCP", b"EXIF", b"XMP ")
    }
