"""Reads labelled digits from IDX files, or lists them in folders named after their digit."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.codecs.formats import EXTENSIONS
from engine.model.hog import SIDE_PX
from engine.model.reference_digits import as_ink
from engine.model.svm import DIGITS, Floats

PICTURE_SUFFIXES = frozenset({*EXTENSIONS.values(), ".jpeg", ".tif"} - {EXTENSIONS["ZIP"]})

_IMAGES_MAGIC = 0x00000803  # unsigned bytes, three dimensions
_LABELS_MAGIC = 0x00000801
_GZIP_MAGIC = b"\x1f\x8b"


class DataError(Exception):
    """The labelled digits cannot be used; the sentence says which file and why."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """n digits with their labels."""

    digits: Floats
    """(n, 28, 28): 0 is paper, 1 is ink."""
    labels: NDArray[np.int64]
    """(n,): 0 to 9."""

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: slice | NDArray[np.int64]) -> Labelled:
        """Select some of them."""
        return Labelled(self.digits[chosen], self.labels[chosen])


def read_idx(images: Path, labels: Path) -> Labelled:
    """Read a pair of IDX files, compressed by gzip or not.

    Raises
    ------
    DataError
        If a file cannot be read, is not such an IDX file, or the two do not belong together.
    """
    pixels = _read(images, _IMAGES_MAGIC, 3)
    classes = _read(labels, _LABELS_MAGIC, 1).astype(np.int64)
    if pixels.shape[1:] != (SIDE_PX, SIDE_PX):
        raise DataError(f"{images} has pictures of {pixels.shape[1:]} pixels; {SIDE_PX} x {SIDE_PX} are needed")
    if len(pixels) != len(classes):
        raise DataError(f"{images} has {len(pixels):,} pictures but {labels} has {len(classes):,} labels")
    if len(classes) and classes.max() >= DIGITS:
        raise DataError(f"{labels} has the label {classes.max()}; 0 to 9 are digits")
    return Labelled(as_ink(pixels), classes)


def read_mnist(folder: Path) -> Labelled:
    """Read MNIST's training set from the folder that has its two IDX files.

    Raises
    ------
    DataError
        If they do not exist or cannot be used.
    """
    return read_idx(_find(folder, "train-images"), _find(folder, "train-labels"))


def list_folder(folder: Path) -> list[tuple[Path, int]]:
    """List the pictures of ``folder/LABEL/*`` with their labels, in a fixed order.

    Raises
    ------
    DataError
        If there is none.
    """
    found = [
        (path, label)
        for label in range(DIGITS)
        for path in sorted((folder / str(label)).glob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not found:
        raise DataError(f"{folder} has no pictures in folders named 0 to 9")
    return found


def read_compressed(path: Path) -> bytes:
    """Read a file, compressed by gzip or not.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _find(folder: Path, stem: str) -> Path:
    """Find an IDX file by the beginning of its name: common names differ in a dot and in their ending."""
    found = sorted(folder.glob(f"{stem}*"))
    if not found:
        raise DataError(f"{folder} has no file {stem}*")
    return found[0]


def _read(path: Path, magic: int, dimensions: int) -> NDArray[np.uint8]:
    """Read one IDX file: magic number, sizes, bytes."""
    content = read_compressed(path)
    header = np.frombuffer(content[: 4 * (1 + dimensions)], ">u4")
    if len(header) != 1 + dimensions or header[0] != magic:
        raise DataError(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
    body = np.frombuffer(content, np.uint8, offset=header.nbytes)
    if body.size != np.prod(header[1:], dtype=np.int64):
        raise DataError(f"{path} has {body.size:,} bytes of data, but its header declares {header[1:].tolist()}")
    return body.reshape(header[1:])
