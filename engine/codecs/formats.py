"""The formats of payloads: how their files begin, their media types and file name extensions.

The product has no other list of them. For a new image format, add it here and its decoder to `engine.codecs.decode`;
docs/architecture.md names what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Format = Literal["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]
PayloadFormat = Literal[Format, "ZIP"]

_MAGICS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)

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
    return None


def payload_format(data: bytes) -> PayloadFormat | None:
    """Return the image format, or ``ZIP`` for bytes that begin like a zip archive; None for anything else.

    The service also accepts archives with other bytes before the first entry; this function does not look for them.
    """
    if data.startswith((ZIP_LOCAL_MAGIC, ZIP_END_MAGIC)):
        return "ZIP"
    return image_format(data)
