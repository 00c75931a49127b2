"""Where training digits come from: IDX files, or pictures in folders."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.model.reference_digits import as_ink, draw_reference_digits
from engine.training.data.labelled import DataError, list_folder, read_idx, read_mnist
from engine.training.data.sources import read_training_digits
from tests.unit.engine.training.few_digits import SAMPLES


def idx(values: NDArray[np.uint8], kind: int) -> bytes:
    return struct.pack(f">I{values.ndim}I", kind, *values.shape) + values.tobytes()


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gz"])
def test_idx_files_are_read_compressed_or_not(tmp_path: Path, compress: Any) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(compress(idx(draw_reference_digits(), 0x803)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(compress(idx(np.arange(10, dtype=np.uint8), 0x801)))
    data = read_mnist(tmp_path)
    np.testing.assert_array_equal(data.labels, np.arange(10))
    np.testing.assert_allclose(data.digits, as_ink(draw_reference_digits()))


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (b"", idx(np.arange(10, dtype=np.uint8), 0x801), "not an IDX file"),
        (idx(draw_reference_digits(), 0x803)[:-1], idx(np.arange(10, dtype=np.uint8), 0x801), "declares"),
        (idx(draw_reference_digits(), 0x803), idx(np.arange(9, dtype=np.uint8), 0x801), "9 labels"),
        (idx(draw_reference_digits(), 0x803), idx(np.arange(5, 15, dtype=np.uint8), 0x801), "label 14"),
        (
            gzip.compress(idx(draw_reference_digits(), 0x803))[:-9],
            idx(np.arange(10, dtype=np.uint8), 0x801),
            "cannot be read",
        ),
    ],
    ids=["empty", "cut short", "too few labels", "no digit", "damaged gzip"],
)
def test_idx_files_that_cannot_be_used_are_named(tmp_path: Path, images: bytes, labels: bytes, says: str) -> None:
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(DataError, match=says):
        read_idx(tmp_path / "images", tmp_path / "labels")


def test_a_folder_without_labelled_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folders named 0 to 9"):
        list_folder(tmp_path)


def test_training_digits_may_be_pictures_in_folders_and_come_mixed(tmp_path: Path) -> None:
    for path in SAMPLES:
        (tmp_path / path.name[0]).mkdir(exist_ok=True)
        (tmp_path / path.name[0] / path.name).write_bytes(path.read_bytes())
    data = read_training_digits(tmp_path)
    assert sorted(data.labels) == sorted(int(path.name[0]) for path in SAMPLES)
    assert list(data.labels) != sorted(data.labels)
    assert data.digits.shape == (len(SAMPLES), 28, 28)
