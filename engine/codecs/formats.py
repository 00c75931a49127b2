"""The formats of payloads: how their files begin, their media types and file name extensions.

The product has no other list of them. For a new image format, add it here and its decoder to `engine.codecs.decode`;
docs/architecture.md names what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Format = Literal["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"]
PayloadFormat = Literal[Format, "ZIP"]

_MAGICS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
)
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEVC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_EITHER_BRANDS: Final = frozenset({b"mif1", b"msf1"})
"""Major brands whose files name the coding among the brands that they are compatible with."""
_BRAND_AT, _BRAND_BYTES, _BRANDS_MAX = 8, 4, 64

ZIP_LOCAL_MAGIC: Final = b"PK\x03\x04"
"""Begins the local header of an archive's entry, and so most archives."""
ZIP_END_MAGIC: Final = b"PK\x05\x06"
"""Begins the end record of an archive's directory, and so an archive without entries."""

MEDIA_TYPES: Final[Mapping[PayloadFormat, str]] = MappingProxyType(
    {
        "PNG": "image/png",
        "JPEG": "image/jpeg",
        "GIF": "image/gif",
        "BMP": "image/bmp",
        "TIFF": "image/tiff",
        "WEBP": "image/webp",
        "AVIF": "image/avif",
        "HEIF": "image/heic",
        "ZIP": "application/zip",
    }
)
EXTENSIONS: Final[Mapping[PayloadFormat, str]] = MappingProxyType(
    {
        "PNG": ".png",
        "JPEG": ".jpg",
        "GIF": ".gif",
        "BMP": ".bmp",
        "TIFF": ".tiff",
        "WEBP": ".webp",
        "AVIF": ".avif",
        "HEIF": ".heic",
        "ZIP": ".zip",
    }
)
"""File name extensions, with the dot."""


def image_format(data: bytes) -> Format | None:
    """Return the image format that the first bytes name; None if it is not accepted."""
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return _coding(data) if data.startswith(b"ftyp", 4) else None


def _coding(data: bytes) -> Format | None:
    """Return the format of a file in boxes whose first one names its brands; None if it is no picture."""
    size = int.from_bytes(data[:4], "big")
    listed = data[_BRAND_AT : min(size, _BRAND_AT + _BRANDS_MAX * _BRAND_BYTES)]
    brands = [listed[at : at + _BRAND_BYTES] for at in range(0, len(listed), _BRAND_BYTES)]
    major = data[_BRAND_AT : _BRAND_AT + _BRAND_BYTES]
    if major in _EITHER_BRANDS:
        return "AVIF" if _AVIF_BRANDS.intersection(brands) else "HEIF"
    if major in _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if major in _HEVC_BRANDS else None


def payload_format(data: bytes) -> PayloadFormat | None:
    """Return the image format, or ``ZIP`` for bytes that begin like a zip archive; None for anything else.

    The service also accepts archives with other bytes before the first entry; this function does not look for them.
    """
    if data.startswith((ZIP_LOCAL_MAGIC, ZIP_END_MAGIC)):
        return "ZIP"
    return image_format(data)
