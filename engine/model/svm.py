"""Turns features into calibrated probabilities of the ten digits; `engine.model.reject_head` says if there is one.

project    project the 306 features to fewer directions
compare    Gaussian kernel between each digit and each learned centre: one matrix product and one exponential
vote       ten one-against-all machines weight the similarities
calibrate  softmax of the scores divided by a temperature, so that confidences match the observed accuracy

This is a support vector machine with a reduced set [1]_: its few "support vectors" are learned together with the
projection instead of chosen among the training digits, so that a decision is one float32 matrix product.

References
----------
.. [1] C. Burges, "Simplified Support Vector Decision Rules", ICML 1996.
.. [2] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: one temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.model.reject_head import RejectHead

DIGITS = 10
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """The machine's output for n pictures."""

    labels: NDArray[np.int64]
    """(n,): the digit."""
    probabilities: Floats
    """(n, 10): that the picture shows this digit, given that it shows one; each row sums to 1."""
    digitness: Floats
    """(n,): log odds that the picture shows a digit at all."""


@dataclass(frozen=True)
class Machine:
    """The compact machine: d directions, m centres."""

    projection: Floats
    """(features, d)"""
    offset: Floats
    """(d,): the mean of the training features, projected."""
    centres: Floats
    """(m, d)"""
    widths: Floats
    """(m,): gamma of each centre's kernel, exp(-gamma * squared distance)."""
    weights: Floats
    """(m, 10)"""
    bias: Floats
    """(10,)"""
    reject: RejectHead
    """Says whether the picture shows a digit at all."""
    temperature: float
    """Divides the scores before the softmax."""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        directions, centres = self.projection.shape[1], len(self.centres)
        expected = {
            "offset": (directions,),
            "centres": (centres, directions),
            "widths": (centres,),
            "weights": (centres, DIGITS),
            "bias": (DIGITS,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if len(self.reject.from_features) != len(self.projection):
            raise ValueError(f"from_features must have {len(self.projection)} rows, as projection has")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def decide(self, scores: Floats, digitness: Floats) -> Decision:
        """Decide on n pictures.

        Parameters
        ----------
        scores : (n, 10) float32
            As `scores` computes them, or means over several views.
        digitness : (n,) float32
            As the reject head computes it.
        """
        return Decision(
            labels=scores.argmax(axis=1),
            probabilities=softmax(scores / np.float32(self.temperature)),
            digitness=digitness,
        )

    def scores(self, features: Floats) -> Floats:
        """Compute the scores of the ten machines: (n, 10)."""
        scores: Floats = self.similarities(features) @ self.weights
        scores += self.bias
        return scores

    def similarities(self, features: Floats) -> Floats:
        """Compare each digit with each centre.

        Returns
        -------
        similarities : (n, m) float32
            1 at the centre, falling to 0.

        Notes
        -----
        The exponent -gamma (|z|^2 - 2 z.c + |c|^2) is one product, with |z|^2 and 1 as two more columns of z.
        """
        directions = self.projection.shape[1]
        extended = np.empty((len(features), directions + 2), np.float32)
        points = extended[:, :directions]
        np.subtract(features @ self.projection, self.offset, out=points)
        np.einsum("ij,ij->i", points, points, out=extended[:, directions])
        extended[:, directions + 1] = 1
        exponents = extended @ self._columns
        return np.exp(exponents, out=exponents)

    @cached_property
    def _columns(self) -> Floats:
        """Return (d + 2, m): the factors of a point, of its squared length and of 1."""
        squares = np.einsum("ij,ij->i", self.centres, self.centres)
        rows = (2 * self.widths[:, None] * self.centres).T
        return np.ascontiguousarray(np.vstack([rows, -self.widths, -self.widths * squares]), dtype=np.float32)


def softmax(scores: Floats) -> Floats:
    """Turn each row of scores into probabilities that sum to 1."""
    powers: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
