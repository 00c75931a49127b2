"""Reads the orientation out of a PNG file, in which it may be in three places.

eXIf               EXIF data as it is; the chunk is from 2017
tEXt, zTXt         EXIF data in hexadecimal, which ImageMagick and others wrote before
iTXt               XMP

References
----------
.. [1] W3C, Portable Network Graphics (PNG) Specification (Third Edition), 2025, section 11.3 (ancillary chunks).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

from engine.codecs.headers.exif import HEX_BYTES, UPRIGHT, read_hex_orientation, read_orientation, read_xmp_orientation

KINDS: Final = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_PROFILES: Final = (b"Raw profile type exif\x00", b"Raw profile type APP1\x00")
_XMP: Final = b"XML:com.adobe.xmp\x00\x00"
"""Its keyword, and that it is not deflated."""


def read(chunks: Iterable[tuple[bytes, bytes]]) -> int:
    """Read the orientation; usually 1 to 8. The first place above that has one counts.

    Parameters
    ----------
    chunks
        Kind and body of each chunk, of `KINDS`.
    """
    in_exif = in_profile = in_xmp = 0
    for kind, body in chunks:
        if kind == b"eXIf":
            in_exif = read_orientation(body)
        elif body.startswith(_PROFILES):
            in_profile = in_profile or read_hex_orientation(_profile(kind, body))
        elif kind == b"iTXt" and body.startswith(_XMP):
            in_xmp = in_xmp or read_xmp_orientation(body)
    return in_exif or in_profile or in_xmp or UPRIGHT


def _profile(kind: bytes, body: bytes) -> bytes:
    """Return the beginning of a text after its keyword; no more of it is inflated than that."""
    text = body[len(_PROFILES[0]) :]
    if kind != b"zTXt":
        return text
    try:
        return zlib.decompressobj().decompress(text[1:], HEX_BYTES)
    except zlib.error:
        return b""
