"""What is no picture of ours: other formats, documents, and files that are two things at once."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from PIL import Image

from contract.errors import ErrorCode
from tests.hostile.case import READ, SEVEN, Case, Cases, encoded, fails, read, seven
from tests.hostile.zips import Entry, archive

_UNKNOWN = ErrorCode.UNKNOWN_FORMAT
_ACCEPTED = frozenset({"PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"})
_SAME_FIRST_BYTES = frozenset({"MPO"})
"""Pillow's formats that begin as one of ours does, and are read as that."""


def foreign() -> Cases:
    """Every foreign thing by name."""
    return _formats() | _first_bytes() | _documents() | _polyglots()


def _formats() -> dict[str, Case]:
    """Everything that Pillow can write and we do not accept."""
    Image.init()
    cases = {}
    for kind in sorted(Image.SAVE.keys() - _ACCEPTED - _SAME_FIRST_BYTES):
        for mode in ("L", "RGB", "1"):
            try:
                with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of formats that will go
                    data = encoded(seven(mode, side_px=64), kind)
            except (OSError, ValueError, KeyError, AttributeError):  # not of this mode, or it wants more than pixels
                continue
            cases[f"the format {kind}"] = fails(data, _UNKNOWN)
            break
    return cases


def _first_bytes() -> dict[str, Case]:
    """What Pillow and OpenCV can read and Pillow cannot write."""
    beginnings = {
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n",
        "EPS of DOS": b"\xc5\xd0\xd3\xc6" + bytes(28),
        "FITS": b"SIMPLE  =                    T" + b" " * 50,
        "PSD": b"8BPS\x00\x01" + bytes(20),
        "a movie of Autodesk": bytes(4) + b"\x11\xaf" + bytes(120),
        "GRIB": b"GRIB\x00\x00\x00\x01",
        "HDF5": b"\x89HDF\r\n\x1a\n",
        "WMF": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(80),
        "EMF": b"\x01\x00\x00\x00" + bytes(36) + b" EMF",
        "a video": b"\x00\x00\x00\x18ftypisom" + bytes(12),
        "a raw picture": b"\x00\x00\x00\x18ftypcrx " + bytes(12),
        "JPEG XL": b"\xff\x0a" + bytes(40),
        "JPEG 2000": b"\xff\x4f\xff\x51" + bytes(40),
        "OpenEXR": b"\x76\x2f\x31\x01" + bytes(40),
        "Radiance": b"#?RADIANCE\n\n-Y 9 +X 9\n",
        "a raster of Sun": b"\x59\xa6\x6a\x95" + bytes(40),
        "WAVE": b"RIFF\x24\x00\x00\x00WAVEfmt ",
        "gzip": b"\x1f\x8b\x08" + bytes(20),
        "RAR": b"Rar!\x1a\x07\x00",
        "7-Zip": b"7z\xbc\xaf\x27\x1c",
        "a tape archive": b"7.png".ljust(257, b"\x00") + b"ustar\x0000".ljust(255, b"\x00"),
    }
    return {f"the first bytes of {what}": fails(data, _UNKNOWN) for what, data in beginnings.items()}


def _documents() -> dict[str, Case]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/><script>alert(1)</script></svg>'
    laughs = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><svg>&b;</svg>'
    documents = {
        "SVG": svg,
        "SVG of a billion laughs": laughs,
        "HTML": b"<!DOCTYPE html><html><body><img src=x onerror=alert(1)></body></html>",
        "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/OpenAction 2 0 R>>endobj\n%%EOF",
        "a shell script": b"#!/bin/sh\nreboot\n",
        "a pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "a base64 of a picture": b"iVBORw0KGgoAAAANSUhEUgAAABwAAAAc",
        "JSON": b'{"digit": 7}',
        "text": "Sieben \u2014 \u4e03".encode(),
        "UTF-16": "\ufeff7".encode("utf-16"),
        "one zero byte": b"\x00",
        "one byte": b"7",
        "white space": b" \r\n\t",
        "a megabyte of zeros": bytes(1_000_000),
        "a megabyte of noise": b"\x00" + np.random.default_rng(7).bytes(1_000_000),
        "terminal commands": b"\x1b[2J\x1b]0;owned\x07",
    }
    return {what: fails(data, _UNKNOWN) for what, data in documents.items()}


def _polyglots() -> dict[str, Case]:
    packed = archive(Entry(b"9.png"))
    jpeg = encoded(seven(), "JPEG", quality=95)
    script = encoded(Image.new("L", (0x2A2F, 8)), "GIF")  # a width that reads /*
    return {
        "a PNG and an archive": read(SEVEN + packed, names=[None]),
        "a JPEG and an archive": read(jpeg + packed, names=[None]),
        "a GIF and an archive": read(encoded(seven(), "GIF") + packed, names=[None]),
        "a JPEG with an archive in its comment": read(
            jpeg[:2] + b"\xff\xfe" + (len(packed) + 2).to_bytes(2, "big") + packed + jpeg[2:], names=[None]
        ),
        "a PDF and an archive": read(b"%PDF-1.7\n1 0 obj<<>>stream\n" + packed, names=["9.png"]),
        "a program and an archive": read(b"MZ" + bytes(500) + packed, names=["9.png"]),
        "HTML and an archive": read(b"<html><!--" + packed + b"-->", names=["9.png"]),
        "a PDF and a JPEG": fails(b"%PDF-1.7\n" + jpeg, _UNKNOWN),
        "HTML and a PNG": fails(b"<html>" + SEVEN, _UNKNOWN),
        "a PNG and HTML": read(SEVEN + b"<script>alert(1)</script>"),
        "a GIF and JavaScript": Case(script + b"*/=1;alert(1);//;", [READ]),
        "a BMP and JavaScript": Case(_bmp_script(), [READ]),
        "an icon of a PNG": fails(_icon(), _UNKNOWN),
        "a second picture after the first": read(SEVEN + encoded(Image.new("L", (28, 28)), "PNG")),
    }


def _bmp_script() -> bytes:
    """Write a BMP file whose first bytes are also the beginning of a comment in JavaScript."""
    data = encoded(seven(), "BMP")
    return data[:2] + b"/*\x00\x00" + data[6:] + b"*/=1;alert(1)"


def _icon() -> bytes:
    stream = io.BytesIO()
    seven("RGBA", side_px=64).save(stream, "ICO")
    assert re.match(rb"\x00\x00\x01\x00", stream.getvalue())
    return stream.getvalue()
