"""Computes the log odds that a picture shows a digit at all: a network with one hidden layer.

Its inputs are the features of the digit, the highest scores of the ten machines of `engine.model.svm`, and the evidence
of the full picture. A character of a kind that was never learned is far from all centres, so that no machine has a high
score; this is what the features alone do not say. But the centres lie where digits differ from one another, not where
digits differ from letters and signs, so that the scores alone do not say enough either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HIGHEST: Final = 3
"""How many of the ten scores the head sees, the highest first."""


@dataclass(frozen=True, slots=True)
class RejectHead:
    """The network: f features, e numbers of evidence, h hidden units."""

    from_features: Floats
    """(f, h)"""
    from_scores: Floats
    """(3, h): the highest scores, in falling order."""
    from_evidence: Floats
    """(e, h)"""
    hidden_bias: Floats
    """(h,)"""
    output: Floats
    """(h,)"""
    output_bias: float
    evidence_floor: Floats
    """(e,): smaller evidence is raised to this."""
    evidence_ceiling: Floats
    """(e,): larger evidence is cut to this, so that values beyond those of the training do not decide alone."""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        (evidence, hidden), features = self.from_evidence.shape, len(self.from_features)
        expected = {
            "from_features": (features, hidden),
            "from_scores": (HIGHEST, hidden),
            "hidden_bias": (hidden,),
            "output": (hidden,),
            "evidence_floor": (evidence,),
            "evidence_ceiling": (evidence,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")

    @classmethod
    def untrained(cls, features: int, evidence: int) -> RejectHead:
        """Return a head that has learned nothing: the log odds are 0."""
        return cls(
            from_features=np.zeros((features, 1), np.float32),
            from_scores=np.zeros((HIGHEST, 1), np.float32),
            from_evidence=np.zeros((evidence, 1), np.float32),
            hidden_bias=np.zeros(1, np.float32),
            output=np.zeros(1, np.float32),
            output_bias=0.0,
            evidence_floor=np.zeros(evidence, np.float32),
            evidence_ceiling=np.zeros(evidence, np.float32),
        )

    def digitness(self, features: Floats, scores: Floats, evidence: Floats) -> Floats:
        """Compute the log odds (n,) from the features (n, f), scores (n, 10) and evidence (n, e) of n pictures."""
        hidden: Floats = features @ self.from_features
        hidden += highest(scores) @ self.from_scores
        within_range = np.maximum(evidence, self.evidence_floor)
        np.minimum(within_range, self.evidence_ceiling, out=within_range)
        hidden += within_range @ self.from_evidence
        hidden += self.hidden_bias
        np.maximum(hidden, 0, out=hidden)
        log_odds: Floats = hidden @ self.output
        log_odds += np.float32(self.output_bias)
        return log_odds


def highest(scores: Floats) -> Floats:
    """Return the highest of each row's scores (n, 10), in falling order: (n, 3)."""
    return np.sort(scores, axis=1)[:, : -HIGHEST - 1 : -1]
