"""Which image format bytes are, by their first bytes alone."""

from __future__ import annotations

from typing import Literal

Format = Literal["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]

_MAGICS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)


def image_format(data: bytes) -> Format | None:
    """Name the format, or None if it is none that is accepted."""
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None
