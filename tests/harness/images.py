"""Small digit images made on the spot, for tests that need many and do not mind how they look."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont


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


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Pack named entries into a zip archive, in this order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return packed.getvalue()


def _png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()
