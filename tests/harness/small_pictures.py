"""Small pictures for tests of decoders, and what the engine decodes from them."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from engine.codecs.decode import decode
from engine.errors import EngineError
from engine.limits import Limits

LIMITS: Final = Limits()
_RANDOM: Final = np.random.default_rng(0)
GREY: Final = np.kron(_RANDOM.integers(0, 256, (5, 4), dtype=np.uint8), np.ones((4, 4), np.uint8))
"""20 rows of 16 px."""
RGB: Final = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
ALPHA: Final = np.ascontiguousarray(GREY.T[:16, :16].repeat(2, axis=0)[:20, :16])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image by Pillow."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Decode a file."""
    return decode(data, limits).pixels


def code(data: bytes, limits: Limits = LIMITS) -> str:
    """Return the code that a file is refused with."""
    with pytest.raises(EngineError) as caught:
        decode(data, limits)
    return caught.value.code


def png_rows(values: NDArray[Any]) -> bytes:
    """Write the rows of a PNG file without filters."""
    return b"".join(b"\x00" + row.tobytes() for row in values)
