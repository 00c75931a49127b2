"""Readings: what is published about a digit.

decide   the model's probabilities, and its log odds that this is a digit at all
judge    unsure where either lies below its threshold; the thresholds are the model's
round    to 4 decimals, as the contract says
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from engine import model
from engine.model import Model, ModelInfo
from engine.svm import Decision, Floats

Status = Literal["recognised", "unsure"]
Reason = Literal["low-confidence", "not-a-digit"]

_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """One picture, read."""

    status: Status
    digit: int
    confidence: float
    """Calibrated probability that `digit` is right, if the picture shows a digit."""
    probabilities: list[float]
    """Of the digits 0 to 9."""
    reason: Reason | None
    """Why it is unsure."""


class Classifier:
    """A verified model, ready to read."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Load and verify the model in `folder`.

        Raises
        ------
        ModelError
            If it cannot be used.
        """
        return cls(model.load(folder))

    @property
    def info(self) -> ModelInfo:
        """Who makes the predictions."""
        return self._model.info

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, 28, 28), with the evidence (n, e) of their pictures: bare numbers, for evaluation."""
        return self._model.reads.decide(digits, evidence)

    def classify(self, digits: Floats, evidence: Floats) -> list[Reading]:
        """Read n digits (n, 28, 28), with the evidence (n, e) of their pictures; n may be 0."""
        decision = self.decide(digits, evidence)
        probabilities = np.round(decision.probabilities.astype(np.float64), _DECIMALS).tolist()
        best = decision.probabilities.argmax(axis=1).tolist()
        foreign = (decision.digitness < self._model.thresholds.digitness).tolist()
        doubtful = (decision.probabilities.max(axis=1) < self._model.thresholds.confidence).tolist()
        return [_reading(*row) for row in zip(best, probabilities, foreign, doubtful, strict=True)]


def _reading(digit: int, probabilities: list[float], foreign: bool, doubtful: bool) -> Reading:  # noqa: FBT001  # a row of columns
    """Put one row of the batch into words."""
    reason: Reason | None = "not-a-digit" if foreign else "low-confidence" if doubtful else None
    return Reading("unsure" if reason else "recognised", digit, probabilities[digit], probabilities, reason)
