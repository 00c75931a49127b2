"""A linear machine: one product of the features with its weights.

A scaling or projection before it is part of the weights already, since a linear function of a linear function is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.model.imported.pair_votes import PAIRS
from engine.model.svm import DIGITS, Doubles


@dataclass(frozen=True, slots=True)
class LinearMachine:
    """Weights of ten machines, or of one for each pair of digits."""

    weights: Doubles
    """(features, 10 or 45)"""
    bias: Doubles
    """(10 or 45,)"""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        if self.weights.ndim != 2 or self.weights.shape[1] not in (DIGITS, len(PAIRS)):  # noqa: PLR2004  # a matrix
            raise ValueError(f"weights must have {DIGITS} or {len(PAIRS)} columns, but have shape {self.weights.shape}")
        if self.bias.shape != self.weights.shape[1:]:
            raise ValueError(f"bias must have shape {self.weights.shape[1:]}, not {self.bias.shape}")

    @property
    def features(self) -> int:
        """How many features it takes."""
        return len(self.weights)

    def outputs(self, features: Doubles) -> Doubles:
        """Return the scores of the digits, or of the pairs, above 0 where the smaller digit wins."""
        outputs: Doubles = features @ self.weights
        outputs += self.bias
        return outputs

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"weights": self.weights, "bias": self.bias}

    def about(self) -> dict[str, Any]:
        """Return what the manifest says about it besides."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], _about: Mapping[str, Any]) -> Self:
        """Build the machine from its arrays.

        Raises
        ------
        KeyError, ValueError
            If something is missing or the parts do not belong together.
        """
        return cls(np.ascontiguousarray(arrays["weights"]), arrays["bias"])
