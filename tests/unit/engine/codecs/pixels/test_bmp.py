"""BMP: run lengths, and headers of both kinds."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.harness.small_pictures import code, pixels

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_of_a_bmp_are_read(bits: int) -> None:
    levels = 2**bits
    grey = np.kron(RANDOM.integers(0, levels, (5, 9), dtype=np.uint8), np.ones((3, 3), np.uint8))
    runs = b""
    for row in grey[::-1]:
        for at in range(0, 27, 9):
            three = row[at : at + 9]
            if at == 9:  # as they are: an even number of bytes
                plain = three.tobytes() if bits == 8 else np.packbits(_nibbles(three)).tobytes()
                runs += bytes([0, 9]) + plain + bytes(len(plain) % 2)
            else:
                runs += b"".join(bytes([3, int(value) * (1 if bits == 8 else 17)]) for value in three[::3])
        runs += b"\x00\x00"
    palette = b"".join(bytes([level * 255 // (levels - 1)] * 3 + [0]) for level in range(levels))
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette))
    info = struct.pack("<I2i2H6I", 40, 27, 15, 1, bits, 1 if bits == 8 else 2, 0, 0, 0, 0, 0)
    seen = pixels(head + info + palette + runs + b"\x00\x01")
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], grey.astype(int) * 255 // (levels - 1))


def _nibbles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return four bits of each value, and of one more."""
    return np.unpackbits(np.append(values, 0).astype(np.uint8)[:, None], axis=1)[:, 4:].ravel()


def test_a_colour_of_a_small_bmp_header_is_not_taken_for_its_compression() -> None:
    palette = b"\x00\x00\x00\xff" + b"\x01\x00\x00\x00" + bytes(256 * 3 - 8)
    head = struct.pack("<2sIHHIIHHHH", b"BM", 0, 0, 0, 26 + len(palette), 12, 30_000, 30_000, 1, 8)
    assert (head + palette)[30:34] == b"\x01\x00\x00\x00"
    assert code(head + palette) == "too-many-pixels"


@pytest.mark.parametrize("bits", [4, 8])
def test_runs_of_a_bmp_that_are_longer_than_their_row_are_cut_off(bits: int) -> None:
    grey = np.repeat(np.arange(12, dtype=np.uint8)[:, None], 15, axis=1) * (255 // 15)
    value = 17 if bits == 4 else 1
    runs = b"".join(bytes([8, row * value, 200, row * value, 0, 0]) for row in range(12))
    palette = b"".join(bytes([level * 17 % 256] * 3 + [0]) for level in range(2**bits))
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette))
    info = struct.pack("<I2i2H6I", 40, 15, 12, 1, bits, 1 if bits == 8 else 2, 0, 0, 0, 0, 0)
    seen = pixels(head + info + palette + runs + b"\x00\x01")
    assert np.array_equal(seen if seen.ndim == 2 else seen[:, :, 0], grey[::-1])
    assert code(head + info + palette + runs[:30] + b"\x00\x01") == "damaged-image"
