"""Finds a field in the extra fields of an archive's entry: each has a kind, a length and that many bytes."""

from __future__ import annotations

import struct
from typing import Final

ZIP64: Final = 0x0001
"""Sizes and offsets that do not fit into 32 bits."""
UNICODE_PATH: Final = 0x7075
"""The entry's name in UTF-8, as Info-ZIP writes it."""

_HEADER: Final = struct.Struct("<2H")
_MOST_FIELDS: Final = 16
"""Archivers write three or four. The directory is read again in every slice of a record, so this must take no time."""


def find(extra: bytes, kind: int) -> bytes | None:
    """Return the bytes of the first field of a kind, which may be fewer than it declares; None if there is none."""
    if kind.to_bytes(2, "little") not in extra:
        return None
    at = 0
    for _ in range(_MOST_FIELDS):
        if at + _HEADER.size > len(extra):
            return None
        found, length = _HEADER.unpack_from(extra, at)
        at += _HEADER.size
        if found == kind:
            return extra[at : at + length]
        at += length
    return None
