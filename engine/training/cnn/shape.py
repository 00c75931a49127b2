"""The size of the network, and the names of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.model.hog import SIDE_PX
from engine.model.svm import Floats

POOL_PX: Final = 2

Weights = dict[str, Floats]
"""By name: ``kernel0`` (height, width, from, to), ``bias0`` (to,), …, then ``hidden``, ``output`` and their biases."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the network."""

    blocks: tuple[tuple[tuple[int, int], ...], ...] = (((5, 16),), ((3, 32), (3, 32)), ((3, 64), (3, 64)))
    """Between two poolings, each convolution: its side in px, and its maps."""
    hidden: int = 128
    dropped: float = 0.25
    """Share of the inputs of both last layers that are left out, at random, in training."""

    @property
    def pooled_px(self) -> int:
        """Return the side of the last maps."""
        return int(SIDE_PX // POOL_PX ** len(self.blocks))
