"""Opening and decoding any bytes succeeds or raises an `EngineError`."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from engine.canvas.pipeline import normalise
from engine.codecs.decode import Picture, decode
from engine.codecs.payload import open_payload
from engine.errors import EngineError
from engine.limits import Limits

LIMITS = Limits(
    record_bytes=200_000, image_bytes=100_000, pixels=100_000, entry_bytes=100_000, inflated_bytes=500_000, entries=50
)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")
MAGICS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*", b"RIFF\x00\x00\x00\x00WEBP"]
MAGICS += [b"PK\x03\x04", b"PK\x05\x06", b"II+\x00", b"\x00\x00\x00\x10ftypavif", b"\x00\x00\x00\x10ftypheic"]


def whole(kind: str) -> bytes:
    pixels = np.arange(12 * 14 * 3, dtype=np.uint32).reshape(12, 14, 3) * 97 % 256
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def packed() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for kind in FORMATS:
            file.writestr(f"folder/{kind}", whole(kind))
    return stream.getvalue()


SAMPLES = [*(whole(kind) for kind in FORMATS), packed()]


def refused(error: EngineError) -> None:
    assert error.code
    assert str(error).isprintable()


def read(payload: bytes) -> None:
    """Do what the service does with a payload, and check what it may rely on."""
    try:
        opened = open_payload(payload, LIMITS)
    except EngineError as error:
        refused(error)
        return
    items = list(opened.items())
    assert [item.index for item in items] == list(range(opened.count))
    for item in items:
        assert (item.data is None) == (item.left_out is not None)
        assert item.data is not None or item.error is not None
        if item.error is None and item.data is not None:
            try:
                pixels = decode(item.data, LIMITS).pixels
            except EngineError as error:
                refused(error)
                continue
            assert pixels.dtype == np.uint8
            assert min(pixels.shape[:2]) >= LIMITS.side_min_px
            assert pixels.shape[0] * pixels.shape[1] <= LIMITS.pixels


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    read(payload)


@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_any_bytes_after_a_magic_number_are_decoded_or_refused(magic: bytes, rest: bytes) -> None:
    read(magic + rest)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_a_valid_file_with_changed_bytes_is_decoded_or_refused(sample: bytes, changes: list[tuple[float, int]]) -> None:
    changed = bytearray(sample)
    for place, value in changes:
        changed[int(place * len(changed))] = value
    read(bytes(changed))


@given(st.sampled_from(SAMPLES), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=20))
@settings(max_examples=200)
def test_a_valid_file_with_a_replaced_piece_is_decoded_or_refused(
    sample: bytes, start: float, end: float, piece: bytes
) -> None:
    low, high = sorted((int(start * len(sample)), int(end * len(sample))))
    read(sample[:low] + piece + sample[high:])


@given(
    st.integers(8, 40),
    st.integers(8, 40),
    st.sampled_from([(), (1,), (2,), (3,), (4,)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 256]),
)
def test_any_pixels_give_a_digit_and_finite_evidence(
    height: int, width: int, channels: tuple[int, ...], seed: int, levels: int
) -> None:
    random = np.random.default_rng(seed)
    pixels = (random.integers(0, levels, (height, width, *channels)) * (255 // max(1, levels - 1))).astype(np.uint8)
    canvas = normalise([Picture(pixels)])
    assert canvas.digits.shape == (1, 28, 28)
    assert 0 <= canvas.digits.min() <= canvas.digits.max() <= 1
    assert np.isfinite(canvas.evidence).all()


@pytest.mark.parametrize("shape", [(8, 12_000), (12_000, 8), (8, 257), (129, 8), (300, 2_000, 3), (8, 5_000, 4)])
def test_long_thin_pictures_are_classified(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert np.isfinite(normalise([Picture(pixels), Picture(np.zeros(shape, np.uint8))]).evidence).all()
