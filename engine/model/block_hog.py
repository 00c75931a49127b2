"""Computes the HOG of Dalal and Triggs exactly as scikit-image does, for models that were trained with it.

gradient   differences of the neighbours, 0 at the picture's rim
cells      unsigned directions: each pixel adds its magnitude to one bin, averaged over the cell
blocks     overlapping squares of cells, each normalised

This implementation handles batches, and serving such a model does not need scikit-image. A test compares the two.

References
----------
.. [1] N. Dalal, B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
.. [2] S. van der Walt et al., "scikit-image: image processing in Python", PeerJ 2:e453 (2014), `skimage.feature.hog`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_HALF_TURN_DEGREES = 180.0
_EPS = 1e-5
_CLIP = 0.2


@dataclass(frozen=True, slots=True)
class BlockHog:
    """The parameters, named as scikit-image names them."""

    orientations: int = 9
    pixels_per_cell: int = 8
    cells_per_block: int = 3
    block_norm: str = "L2-Hys"
    transform_sqrt: bool = False

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises
        ------
        ValueError
            If a number is below 1 or the norm is unknown.
        """
        if min(self.orientations, self.pixels_per_cell, self.cells_per_block) < 1:
            raise ValueError("orientations, pixels per cell and cells per block must be at least 1")
        if self.block_norm not in _NORMS:
            raise ValueError(f"block norm must be one of {', '.join(_NORMS)}, not {self.block_norm}")

    def features(self, side_px: int) -> int:
        """Count the features of a picture of `side_px` by `side_px`; rows beyond the last whole cell are ignored.

        Raises
        ------
        ValueError
            If the picture is smaller than one block.
        """
        blocks = side_px // self.pixels_per_cell - self.cells_per_block + 1
        if blocks < 1:
            least = self.cells_per_block * self.pixels_per_cell
            raise ValueError(f"a picture of {side_px} px is smaller than one block of {least} px")
        return (blocks * self.cells_per_block) ** 2 * self.orientations

    def describe(self, pictures: Doubles) -> Doubles:
        """Describe each picture.

        Parameters
        ----------
        pictures : (n, side, side) float64
            In the range that the model was trained on.

        Returns
        -------
        features : (n, d) float64
            Blocks row by row; within a block its cells row by row; within a cell its bins.
        """
        cells = self._cells(np.sqrt(pictures) if self.transform_sqrt else pictures)
        size = self.cells_per_block
        windows = np.lib.stride_tricks.sliding_window_view(cells, (size, size), axis=(1, 2))
        blocks = windows.transpose(0, 1, 2, 4, 5, 3)
        flat = blocks.reshape(len(pictures), blocks.shape[1] * blocks.shape[2], size * size * self.orientations)
        return _NORMS[self.block_norm](flat).reshape(len(pictures), self.features(pictures.shape[1]))

    def _cells(self, pictures: Doubles) -> Doubles:
        """Histogram the directions of each cell: (n, rows, columns, orientations)."""
        down, right = np.zeros_like(pictures), np.zeros_like(pictures)
        down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
        right[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
        magnitude = np.hypot(right, down)
        direction = np.rad2deg(np.arctan2(down, right)) % _HALF_TURN_DEGREES
        cells = pictures.shape[1] // self.pixels_per_cell
        used = slice(0, cells * self.pixels_per_cell)
        shape = (len(pictures), cells, self.pixels_per_cell, cells, self.pixels_per_cell)
        histogram = np.empty((len(pictures), cells, cells, self.orientations))
        for bin_ in range(self.orientations):
            first = _HALF_TURN_DEGREES / self.orientations * bin_
            last = _HALF_TURN_DEGREES / self.orientations * (bin_ + 1)
            votes = np.where((direction >= first) & (direction < last), magnitude, 0.0)
            histogram[..., bin_] = votes[:, used, used].reshape(shape).mean(axis=(2, 4))
        return histogram


def _l1(blocks: Doubles) -> Doubles:
    lengths: Doubles = np.abs(blocks).sum(axis=-1, keepdims=True)
    return blocks / (lengths + _EPS)


def _l2(blocks: Doubles) -> Doubles:
    squares: Doubles = (blocks**2).sum(axis=-1, keepdims=True)
    return blocks / np.sqrt(squares + _EPS**2)


_NORMS: Final[Mapping[str, Callable[[Doubles], Doubles]]] = MappingProxyType(
    {
        "L1": _l1,
        "L1-sqrt": lambda blocks: np.sqrt(_l1(blocks)),
        "L2": _l2,
        "L2-Hys": lambda blocks: _l2(np.minimum(_l2(blocks), _CLIP)),
    }
)
