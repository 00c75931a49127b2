"""The decision: features to calibrated probabilities, and whether this is a digit at all.

project    306 features to the directions that matter
compare    a Gaussian kernel between each digit and each learned centre: one matrix product and one exponential
vote       one weight for each centre and digit, one machine against all others; an eleventh machine says digit or not
calibrate  softmax of the scores over a temperature: a probability that means what it says

This is a support vector machine whose few "support vectors" are learned instead of picked [1]_: a reduced set, trained
together with its projection, and therefore small enough to be one float32 product of matrices.

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

DIGITS = 10
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the machine says about n pictures."""

    labels: NDArray[np.int64]
    """(n,): the digit."""
    probabilities: Floats
    """(n, 10): that the picture shows this digit, given that it shows one; each row sums to 1."""
    digitness: Floats
    """(n,): log odds that the picture shows a digit at all."""


@dataclass(frozen=True)
class Machine:
    """The compact machine: d directions, m centres, e numbers of evidence from the full picture."""

    projection: Floats
    """(features, d)"""
    offset: Floats
    """(d,): the mean of the training features, projected."""
    centres: Floats
    """(m, d)"""
    widths: Floats
    """(m,): gamma of each centre's kernel, exp(-gamma * squared distance)."""
    weights: Floats
    """(m, 11): ten machines for the digits, one for "is a digit"."""
    bias: Floats
    """(11,)"""
    evidence_weights: Floats
    """(e,): what the eleventh machine makes of the picture's evidence."""
    evidence_floor: Floats
    """(e,): evidence below it counts no more than this."""
    evidence_ceiling: Floats
    """(e,): evidence above it counts no more than this; nothing that was never seen in training decides alone."""
    temperature: float
    """Divides the scores before the softmax."""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        directions, centres, evidence = self.projection.shape[1], len(self.centres), len(self.evidence_weights)
        expected = {
            "offset": (directions,),
            "centres": (centres, directions),
            "widths": (centres,),
            "weights": (centres, DIGITS + 1),
            "bias": (DIGITS + 1,),
            "evidence_weights": (evidence,),
            "evidence_floor": (evidence,),
            "evidence_ceiling": (evidence,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def decide(self, features: Floats, evidence: Floats) -> Decision:
        """Decide on n pictures.

        Parameters
        ----------
        features : (n, features) float32
            As `engine.model.hog.hog` describes the digits.
        evidence : (n, e) float32
            What the canvas saw of the full picture.
        """
        scores = self.scores(features)
        return Decision(
            labels=scores[:, :DIGITS].argmax(axis=1),
            probabilities=softmax(scores[:, :DIGITS] / np.float32(self.temperature)),
            digitness=scores[:, DIGITS] + self.within_range(evidence) @ self.evidence_weights,
        )

    def within_range(self, evidence: Floats) -> Floats:
        """Cut evidence (n, e) down to what the training has seen."""
        return np.clip(evidence, self.evidence_floor, self.evidence_ceiling)

    def scores(self, features: Floats) -> Floats:
        """Let the eleven machines vote: (n, 11)."""
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
        """Make (d + 2, m) of the centres: what a point, its squared length and 1 are multiplied with."""
        squares = np.einsum("ij,ij->i", self.centres, self.centres)
        rows = (2 * self.widths[:, None] * self.centres).T
        return np.ascontiguousarray(np.vstack([rows, -self.widths, -self.widths * squares]), dtype=np.float32)


def softmax(scores: Floats) -> Floats:
    """Turn each row of scores into probabilities that sum to 1."""
    powers: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
