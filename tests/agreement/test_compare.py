"""The comparison finds what differs, and all formats that we can write agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.agreement import compare as compare_module
from tests.agreement.compare import Comparison, End, compare
from tests.harness.small_pictures import ALPHA, GREY, RGB, encoded

PICTURE = Image.fromarray(np.dstack([RGB, ALPHA]).repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_format_agrees(kind: str, mode: str) -> None:
    picture = PICTURE.convert("RGB" if (kind, mode) == ("JPEG", "RGBA") else mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {} if kind in ("GIF", "BMP") else {"exif": exif}
    assert compare(encoded(picture, kind, **options), levels=2).end in (End.EQUAL, End.CLOSE)


def test_numbers_agree_whatever_their_white_is() -> None:
    for white in (1, 255, 65_535, 12_345):
        data = encoded(Image.fromarray((GREY / 255 * white).astype(np.float32)), "TIFF")
        assert compare(data, levels=2).end in (End.EQUAL, End.CLOSE)


def test_one_other_pixel_is_a_difference_if_it_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    other = PICTURE.copy()
    other.putpixel((3, 5), (1, 2, 3, 255))
    expected = np.asarray(other)
    monkeypatch.setattr(compare_module, "_by_pillow", lambda _: expected)
    assert compare(encoded(PICTURE, "PNG"), levels=2).end == End.DIFFERENT
    other.putpixel((3, 5), (1, 2, 3, 0))
    expected = np.asarray(other)
    clear = PICTURE.copy()
    clear.putpixel((3, 5), (200, 2, 3, 0))
    assert compare(encoded(clear, "PNG"), levels=2) == Comparison(End.EQUAL, "")


def test_what_only_one_of_them_reads_is_named() -> None:
    data = encoded(PICTURE, "PNG")
    endless = encoded(PICTURE.convert("RGB"), "JPEG")[:-2]
    assert compare(endless, levels=2).end == End.READ_ALONE
    assert compare(data[:200], levels=2).end == End.REFUSED_BY_BOTH
    assert compare(b"P5 1 1 255 x", levels=2).end == End.NOT_ACCEPTED
    large = encoded(Image.new("L", (5_000, 5_000)), "PNG")
    assert compare(large, levels=2).end == End.REFUSED
