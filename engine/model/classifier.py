"""Readings: what is published about a digit.

decide   the model's probabilities, and its log odds that this is a digit at all
judge    unsure where either lies below its threshold; the thresholds are the model's
round    to 4 decimals, as the contract says
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model import store as model
from engine.model.files import ModelFiles, ModelInfo
from engine.model.store import Model, Reads, Thresholds
from engine.model.svm import Decision

Status = Literal["recognised", "unsure"]
Reason = Literal["low-confidence", "not-a-digit"]

_DECIMALS = 4


class Reading(NamedTuple):
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

    @classmethod
    def load_files(cls, files: ModelFiles) -> Classifier:
        """Verify a model whose files have been read; the disk is not asked again.

        Raises
        ------
        ModelError
            If it cannot be used.
        """
        return cls(model.load_files(files))

    @property
    def info(self) -> ModelInfo:
        """Who makes the predictions."""
        return self._model.info

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What is known about the model."""
        return self._model.manifest

    @property
    def kind(self) -> Reads:
        """What does the reading, for who wants to look inside."""
        return self._model.reads

    def see(self, pictures: Sequence[Picture]) -> Canvas:
        """Bring pictures to the digits and the evidence that the model knows."""
        return self._model.reads.see(pictures)

    def decide(self, canvas: Canvas) -> Decision:
        """Decide on n digits: bare numbers, for evaluation."""
        return self._model.reads.decide(canvas.digits, canvas.evidence)

    def classify(self, canvas: Canvas) -> list[Reading]:
        """Read n digits, as `see` gives them; n may be 0."""
        decision = self.decide(canvas)
        probabilities = np.round(decision.probabilities.astype(np.float64), _DECIMALS).tolist()
        foreign, doubtful = doubts(decision, self.thresholds)
        return [
            _reading(*row)
            for row in zip(decision.labels.tolist(), probabilities, foreign.tolist(), doubtful.tolist(), strict=True)
        ]

    @property
    def thresholds(self) -> Thresholds:
        """Below either of them a reading is unsure."""
        return self._model.thresholds


def doubts(decision: Decision, thresholds: Thresholds) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which of n decisions are no digit, and which are too doubtful."""
    confidence = decision.probabilities[np.arange(len(decision.labels)), decision.labels]
    return decision.digitness < thresholds.digitness, confidence < thresholds.confidence


def _reading(digit: int, probabilities: list[float], foreign: bool, doubtful: bool) -> Reading:  # noqa: FBT001  # a row of columns
    """Put one row of the batch into words."""
    reason: Reason | None = "not-a-digit" if foreign else "low-confidence" if doubtful else None
    return Reading("unsure" if reason else "recognised", digit, probabilities[digit], probabilities, reason)
