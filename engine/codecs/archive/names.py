"""Names of entries: decoded as their packer meant them, and which of them are metadata of operating systems.

A name is a label that is echoed in the result, never a path that is opened.

References
----------
.. [1] PKWARE, APPNOTE.TXT, .ZIP File Format Specification, version 6.3.10: 4.6.9, Info-ZIP Unicode Path Extra Field,
   and appendix D, language encoding.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from engine.codecs.archive import extra_fields

_FLAG_UTF8: Final = 0x0800
_UNICODE_PATH_HEADER: Final = struct.Struct("<BI")
_UNICODE_PATH_VERSION: Final = 1

METADATA_FILES: Final = frozenset(
    {
        ".apdisk",
        ".directory",
        ".ds_store",
        ".localized",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "thumbs.db",
    }
)
METADATA_FOLDERS: Final = frozenset(
    {
        "$recycle.bin",
        ".appledouble",
        ".documentrevisions-v100",
        ".fseventsd",
        ".spotlight-v100",
        ".temporaryitems",
        ".trashes",
        "@eadir",
        "__macosx",
        "system volume information",
    }
)
_APPLE_DOUBLE: Final = "._"
"""Begins the name of the file in which macOS keeps what another file system has no place for."""


def decode(raw: bytes, flags: int, extra: bytes) -> str:
    """Decode the name of an entry.

    Flag 11 means UTF-8. Without it, a name in the Unicode path field counts if it belongs to this raw name. Else the
    name is UTF-8 if it can be, since Info-ZIP, macOS and Go write UTF-8 without the flag, and code page 437 if not.

    Parameters
    ----------
    raw, flags, extra
        Of the entry in the directory.
    """
    if flags & _FLAG_UTF8:
        return raw.decode("utf-8", "replace")
    try:
        return _unicode_path(raw, extra) or raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _unicode_path(raw: bytes, extra: bytes) -> str | None:
    """Return the name in the Unicode path field; None if there is none, or if it is not that of the raw name."""
    field = extra_fields.find(extra, extra_fields.UNICODE_PATH)
    if field is None or len(field) < _UNICODE_PATH_HEADER.size:
        return None
    version, crc = _UNICODE_PATH_HEADER.unpack_from(field)
    if version != _UNICODE_PATH_VERSION or crc != zlib.crc32(raw):  # another program has renamed the entry
        return None
    try:
        return field[_UNICODE_PATH_HEADER.size :].decode("utf-8")
    except UnicodeDecodeError:
        return None


def is_metadata(name: str) -> bool:
    """Return whether an operating system has added the entry: the contract lists these files and folders."""
    parts = name.replace("\\", "/").lower().split("/")
    return parts[-1] in METADATA_FILES or parts[-1].startswith(_APPLE_DOUBLE) or not METADATA_FOLDERS.isdisjoint(parts)
