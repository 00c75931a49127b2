"""What is no image of ours is named, so that its sender sees what has been sent."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from engine.codecs.foreign import named
from engine.codecs.payload import open_payload
from engine.errors import EngineError
from engine.limits import Limits


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG")
BASE64 = base64.b64encode(PNG)
ADVICE = "; send the bytes that it encodes"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "an SVG image"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg PUBLIC "x">\n<svg width="9"/>', "an SVG image"),
        ("\ufeff<SVG width='9'/>".encode(), "an SVG image"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "a video (MP4)"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ", "a video (QuickTime)"),
        (b"\x00\x00\x00\x18ftyp3gp5", "a video (3GP)"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01", "a video (WebM or Matroska)"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "a video (AVI)"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a sound (WAV)"),
        (b"P5\n9 9\n255\n", "a Netpbm image"),
        (encoded("JPEG2000"), "a JPEG 2000 image"),
        (encoded("ICO"), "an icon (ICO)"),
        (b"data:image/png;base64," + BASE64, "a data: URL" + ADVICE),
        (b"  Data:image/svg+xml,%3Csvg/%3E", "a data: URL" + ADVICE),
        (BASE64, "base64 text of a PNG file" + ADVICE),
        (base64.encodebytes(JPEG), "base64 text of a JPEG file" + ADVICE),
        (base64.urlsafe_b64encode(JPEG).rstrip(b"="), "base64 text of a JPEG file" + ADVICE),
        (base64.b64encode(b"PK\x03\x04" + bytes(30)), "base64 text of a ZIP file" + ADVICE),
        (base64.b64encode(bytes(range(256)) * 100), "base64 text" + ADVICE),
        (PNG.hex().encode(), "hexadecimal text of a PNG file" + ADVICE),
        (b"https://example.org/7.png", "a URL; send the bytes of the file that it names"),
        (json.dumps({"image": BASE64.decode()}).encode(), "JSON; send the bytes of the file alone"),
        (b"<!DOCTYPE html><html><body>502</body></html>", "an HTML page"),
        ("Sieben \u2014 \u4e03, und so weiter".encode() * 200, "text"),
        ("sieben".encode("utf-16"), "text"),
        ("sieben".encode("utf-16") + b"n", "text"),
        (b"7", "text"),
    ],
)
def test_what_is_no_image_of_ours_is_named(data: bytes, name: str) -> None:
    assert named(data) == name
    with pytest.raises(EngineError) as caught:
        open_payload(data, Limits())
    assert caught.value.code == "unknown-format"
    assert str(caught.value).endswith(f", but {name}.")


@pytest.mark.parametrize("data", [b"\x00", bytes(3_000), b"\xff" * 50, b" \r\n\t", b"\x1b[2J\x1b]0;owned\x07"])
def test_what_is_unknown_has_no_name(data: bytes) -> None:
    assert named(data) is None
    with pytest.raises(EngineError, match=r"nor a zip archive\.$"):
        open_payload(data, Limits())


def test_a_character_that_the_cut_divides_does_not_make_text_unknown() -> None:
    for shift in range(4):
        assert named(b"x" * shift + "\u4e03".encode() * 2_000) == "text"


def test_only_the_beginning_of_text_is_looked_at() -> None:
    assert named(b"a" * 3_000 + b"\xff" * 1_000_000) == "base64 text" + ADVICE
