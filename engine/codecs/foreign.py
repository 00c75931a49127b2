"""Names what is no accepted format, for the message of the error: a sender then sees at once what has been sent.

The tables here decide nothing but whether a zip archive is looked for in the bytes (`_ARCHIVES`): whatever they find or
miss, the bytes are refused. No more is looked at than the first bytes, and nothing is parsed. For another format, add a
row: `_ARCHIVES` for archives, `_FIRST_BYTES` for what else is known by its first bytes, `_BRANDS` for media files in
boxes, `_TEXTS` for text.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from engine.codecs.formats import payload_format

_ARCHIVES: Final[tuple[tuple[int, bytes, str], ...]] = (
    (257, b"ustar", "a tar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x1f\x8b\x08", "a gzip file"),
    *(
        (0, b"BZh%d%s" % (level, magic), "a bzip2 file")
        for level in range(1, 10)
        for magic in (b"1AY&SY", b"\x17rE8P\x90")
    ),
    (0, b"\xfd7zXZ\x00", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file"),
    (0, b"LZIP\x01", "an lzip file"),
    (0, b"\x1f\x9d", "a compress file"),
    (0, b"\x5d\x00\x00\x80\x00", "an LZMA file"),
    (0, b"MSCF\x00\x00\x00\x00", "a CAB archive"),
    *((2, b"-lh%d-" % method, "an LZH archive") for method in range(8)),
    (7, b"**ACE**", "an ACE archive"),
    (0, b"xar!\x00", "a XAR archive"),
    (0, b"!<arch>\n", "an ar archive"),
    *((0, b"07070%d" % kind, "a cpio archive") for kind in (1, 2, 7)),
    (0x8001, b"CD001", "an image of a disc"),
)
"""Archives and compressed files: where the bytes are that they begin with, these bytes, and a name."""
_INSTEAD: Final = "; send its images in a zip archive"

_FIRST_BYTES: Final[tuple[tuple[int, bytes, str], ...]] = (
    # Pictures
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)"),
    (0, b"\x00\x00\x02\x00", "a cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"qoif", "a QOI image"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance image"),
    (0, b"SIMPLE  =", "a FITS image"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (128, b"DICM", "a DICOM image"),
    *((0, b"P%d%c" % (number, space), "a Netpbm image") for number in range(1, 8) for space in b" \t\r\n"),
    # Documents
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    # Videos and sounds
    (0, b"\x1a\x45\xdf\xa3", "a video (WebM or Matroska)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"FLV\x01", "a video (FLV)"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)"),
    (0, b"\x00\x00\x01\xb3", "a video (MPEG)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video (WMV)"),
    (0, b"OggS", "a video or a sound (Ogg)"),
    (4, b"moov", "a video (QuickTime)"),
    (4, b"mdat", "a video (QuickTime)"),
    (8, b"WAVE", "a sound (WAV)"),
    (0, b"ID3", "a sound (MP3)"),
    (0, b"fLaC", "a sound (FLAC)"),
    # Data
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
"""Offset, bytes that are there, and name; the first that fits decides."""

_BOX_AT, _BRAND_AT = 4, slice(8, 12)
_BRANDS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"jxl ", "a JPEG XL image"),
    (b"jp2 ", "a JPEG 2000 image"),
    (b"crx ", "a raw image (CR3)"),
    (b"M4A ", "a sound (M4A)"),
    (b"qt  ", "a video (QuickTime)"),
    (b"3gp", "a video (3GP)"),
    (b"", "a video (MP4)"),  # any other brand of the ISO base media file format
)

_TEXT_BYTES: Final = 2_048
_TEXTS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"data:", re.IGNORECASE), "a data: URL; send the bytes that it encodes"),
    (re.compile(r"(https?|ftp|file|s3|gs|blob):", re.IGNORECASE), "a URL; send the bytes of the file that it names"),
    (re.compile(r"(?s)<.*<svg[\s>]|<svg[\s>]", re.IGNORECASE), "an SVG image"),
    (re.compile(r"<(!doctype html|html|head|body)\b", re.IGNORECASE), "an HTML page"),
    (re.compile(r"<\?xml\b"), "an XML document"),
    (re.compile(r"#!"), "a script"),
    (re.compile(r"[{\[\"]"), "JSON; send the bytes of the file alone"),
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_FROM_URL_ALPHABET: Final = str.maketrans("-_", "+/")
_NO_WORD: Final = 100
"""Letters without a space: fewer may be a word, an identifier or a key."""
_HEXADECIMAL: Final = re.compile(r"(0x)?[0-9A-Fa-f]{16,}")


def clause(data: bytes) -> str:
    """Return what the bytes are, as the end of the sentence that refuses them (", but a PDF document"); "" if unknown.

    Parameters
    ----------
    data
        Not empty, and of no accepted format.
    """
    name = named(data)
    return "" if name is None else f", but {name}"


def named(data: bytes) -> str | None:
    """Name the format of bytes, perhaps with advice after a semicolon; None if it is unknown."""
    archive = _first(_ARCHIVES, data)
    if archive is not None:
        return archive + _INSTEAD
    name = _first(_FIRST_BYTES, data)
    if name is not None:
        return name
    if data.startswith(b"ftyp", _BOX_AT):
        return next(name for brand, name in _BRANDS if data[_BRAND_AT].startswith(brand))
    return _named_text(data[:_TEXT_BYTES])


def is_archive(data: bytes) -> bool:
    """Return whether bytes are an archive or a compressed file, of any kind but zip."""
    return _first(_ARCHIVES, data) is not None


def _first(rows: tuple[tuple[int, bytes, str], ...], data: bytes) -> str | None:
    return next((name for at, magic, name in rows if data.startswith(magic, at)), None)


def _named_text(data: bytes) -> str | None:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        # What is cut off in the middle of a character is no reason not to call it text.
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if not error.start or error.start < len(data) - 3:
            return None
        text = data[: error.start].decode(encoding)
    text = text.strip()
    if not text or not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return None
    for pattern, name in _TEXTS:
        if pattern.match(text):
            return name
    return _named_encoding("".join(text.split())) or "text"


def _named_encoding(text: str) -> str | None:
    """Name text that encodes a file: of an accepted format, or so long that it cannot be a word."""
    if _HEXADECIMAL.fullmatch(text):
        text = text.removeprefix("0x")
        kind = payload_format(bytes.fromhex(text[: len(text) // 2 * 2]))
        if kind is not None:
            return f"hexadecimal text of a {kind} file; send the bytes that it encodes"
    if not _BASE64.fullmatch(text):
        return None
    alphabet = text.rstrip("=").translate(_FROM_URL_ALPHABET)
    kind = payload_format(base64.b64decode(alphabet[: len(alphabet) // 4 * 4]))
    if kind is None and len(text) < _NO_WORD:
        return None
    return f"base64 text{f' of a {kind} file' if kind else ''}; send the bytes that it encodes"
