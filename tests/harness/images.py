"""Small digit images made on the spot, for tests that need many and do not mind how they look."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SEEN_BY_SENSOR: Final[Mapping[int, Image.Transpose]] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
)
"""By EXIF orientation: how the sensor saw what is upright once the orientation is undone."""


def drawn_digits(count: int, *, seed: int = 0) -> list[bytes]:
    """Draw digits 0, 1, ... 9, 0, ... white on black as 28x28 PNG, each a little off its place.

    The first 200 differ; then they come again.
    """
    random = np.random.default_rng(seed)
    font = ImageFont.load_default(size=22)
    different = []
    for index in range(min(count, 200)):
        image = Image.new("L", (28, 28))
        x, y = random.uniform(11, 17, size=2)
        ImageDraw.Draw(image).text((x, y), str(index % 10), fill=255, font=font, anchor="mm")
        different.append(_png(image.rotate(random.uniform(-12, 12), Image.Resampling.BILINEAR)))
    return [different[index % len(different)] for index in range(count)]


def large_pages(count: int) -> list[bytes]:
    """Draw digits on pages of 1,600 pixels a side: each takes a worker some hundredths of a second, and a few kB."""
    pages = []
    for index in range(min(count, 10)):
        page = Image.new("L", (1600, 1600), 255)
        font = ImageFont.load_default(size=500)
        ImageDraw.Draw(page).text((800, 800), str(index), fill=0, font=font, anchor="mm", stroke_width=12)
        pages.append(_png(page))
    return [pages[index % len(pages)] for index in range(count)]


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Pack named entries into a zip archive, in this order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # the same bytes at any time
    return packed.getvalue()


def streamed(name: str, data: bytes) -> bytes:
    """Pack one entry as into a pipe: zip64, and sizes only after the data (a data descriptor)."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    packed = Pipe()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file, file.open(name, "w", force_zip64=True) as entry:
        entry.write(data)
    return packed.getvalue()


def _png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()
