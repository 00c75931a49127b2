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

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.model.svm import Doubles

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
        features = np.empty((len(pictures), self.features(pictures.shape[1])))
        _normalise(cells, self.cells_per_block, _NORMS[self.block_norm], features)
        return features

    def _cells(self, pictures: Doubles) -> Doubles:
        """Histogram the directions of each cell: (n, rows, columns, orientations)."""
        down, right = np.zeros_like(pictures), np.zeros_like(pictures)
        down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
        right[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
        sloping = np.flatnonzero((down != 0) | (right != 0))  # most pixels are flat and vote for nothing
        down, right = down.ravel()[sloping], right.ravel()[sloping]
        # Not in the compiled loop, whose arctangent rounds differently: directions between two bins would change sides.
        directions = np.rad2deg(np.arctan2(down, right))
        directions[directions >= _HALF_TURN_DEGREES] = 0
        directions[directions < 0] += _HALF_TURN_DEGREES
        edges = _HALF_TURN_DEGREES / self.orientations * np.arange(self.orientations + 1, dtype=np.float64)
        cells = pictures.shape[1] // self.pixels_per_cell
        histogram = np.zeros((len(pictures), cells, cells, self.orientations))
        _vote(
            sloping, directions, np.sqrt(right**2 + down**2), pictures.shape[1], self.pixels_per_cell, edges, histogram
        )
        return histogram / self.pixels_per_cell**2


@compiled
def _vote(  # noqa: PLR0917  # compiled functions take no keywords
    pixels: NDArray[np.int64],
    directions: Doubles,
    strengths: Doubles,
    side_px: int,
    cell_px: int,
    edges: Doubles,
    histogram: Doubles,
) -> None:
    """Add the strength of each pixel, given by its place in the batch, to the bin of its direction in its cell."""
    cells = histogram.shape[1]
    for k in range(len(pixels)):
        i, place = divmod(pixels[k], side_px * side_px)
        y, x = place // side_px // cell_px, place % side_px // cell_px
        if y < cells and x < cells:
            for bin_ in range(len(edges) - 1):
                if edges[bin_] <= directions[k] < edges[bin_ + 1]:
                    histogram[i, y, x, bin_] += strengths[k]
                    break


@compiled
def _normalise(cells: Doubles, size: int, norm: NDArray[np.bool_], features: Doubles) -> None:
    """Fill `features` block by block; all histograms are 0 or above."""
    squared, rooted, clipped = norm
    blocks = cells.shape[1] - size + 1
    for i in range(len(cells)):
        at = 0
        for block in range(blocks * blocks):
            start = at
            total = 0.0
            for cell in range(size * size):
                y, x = block // blocks + cell // size, block % blocks + cell % size
                for bin_ in range(cells.shape[3]):
                    value = cells[i, y, x, bin_]
                    features[i, at] = value
                    total += value * value if squared else value
                    at += 1
            scale = 1 / (math.sqrt(total + _EPS**2) if squared else total + _EPS)
            if clipped:
                total = 0.0
                for k in range(start, at):
                    features[i, k] = min(features[i, k] * scale, _CLIP)
                    total += features[i, k] ** 2
                scale = 1 / math.sqrt(total + _EPS**2)
            for k in range(start, at):
                features[i, k] = math.sqrt(features[i, k] * scale) if rooted else features[i, k] * scale


_NORMS: Final[Mapping[str, NDArray[np.bool_]]] = MappingProxyType(
    {
        "L1": np.array([False, False, False]),
        "L1-sqrt": np.array([False, True, False]),
        "L2": np.array([True, False, False]),
        "L2-Hys": np.array([True, False, True]),
    }
)
"""By its name, what a norm does: it squares the numbers of a block, takes the root of the scaled ones, clips them."""
