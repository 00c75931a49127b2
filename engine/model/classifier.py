"""Turns the model's decisions into readings, which are published.

decide   compute the probabilities of the ten digits, and the log odds that the picture shows a digit at all
judge    mark a reading as unsure if either value is below its threshold, which the model defines
state    lower the confidence of an unsure reading by the chance that the picture shows no digit
round    round to 4 decimals, as the contract requires
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model import store as model
from engine.model.binning import Bins
from engine.model.files import ModelFiles, ModelInfo
from engine.model.store import Model, Predictor, Thresholds
from engine.model.svm import Decision, Floats

Status = Literal["recognised", "unsure"]
Reason = Literal["low-confidence", "not-a-digit"]

_JUDGEMENTS: Final[tuple[tuple[Status, Reason | None], ...]] = (
    ("recognised", None),
    ("unsure", "low-confidence"),
    ("unsure", "not-a-digit"),
)
_DECIMALS = 4
_LOG_ODDS_MAX = 30.0  # beyond it the probability is 0 or 1, and powers would overflow


class Reading(NamedTuple):
    """The result for one picture."""

    status: Status
    digit: int
    confidence: float
    """Calibrated probability that `digit` is right; of an unsure reading it allows for pictures without a digit."""
    probabilities: list[float]
    """Of the digits 0 to 9, if the picture shows one: they sum to 1."""
    reason: Reason | None
    """Why it is unsure."""
    place: int = 0
    """Its bins in the model's reference, as `engine.model.binning` has them; 0 if there is no reference."""


class Classifier:
    """A verified model, ready to read."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._bins = None if model.reference is None else Bins(model.reference)

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
        """Verify a model whose files have already been read; nothing more is read from the disk.

        Raises
        ------
        ModelError
            If it cannot be used.
        """
        return cls(model.load_files(files))

    @property
    def info(self) -> ModelInfo:
        """Name, version and checksum of the model."""
        return self._model.info

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The model's manifest."""
        return self._model.manifest

    @property
    def bins(self) -> Bins | None:
        """The bins of the model's reference; None if it has none."""
        return self._bins

    @property
    def predictor(self) -> Predictor:
        """The model's predictor, for callers that need its internals."""
        return self._model.predictor

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the digits and the evidence that the model expects."""
        return self._model.predictor.prepare(pictures)

    def decide(self, canvas: Canvas) -> Decision:
        """Decide on n digits and return the numbers without rounding or thresholds, for evaluation."""
        return self._model.predictor.decide(canvas.digits, canvas.evidence)

    def classify(self, canvas: Canvas) -> list[Reading]:
        """Read n digits, as returned by `prepare`; n may be 0."""
        decision = self.decide(canvas)
        probabilities = np.round(decision.probabilities.astype(np.float64), _DECIMALS).tolist()
        foreign, doubtful = unsure_masks(decision, self.thresholds)
        unsure = foreign | doubtful
        stated = stated_confidence(decision, unsure, self.thresholds)
        places = [0] * len(stated)
        if self._bins is not None:
            places = self._bins.places(decision.labels, unsure, stated, decision.digitness)
        confidence = np.round(stated.astype(np.float64), _DECIMALS)
        judgements = [_JUDGEMENTS[number] for number in np.where(foreign, 2, doubtful).tolist()]
        rows = zip(judgements, decision.labels.tolist(), confidence.tolist(), probabilities, places, strict=True)
        return [
            Reading(status, digit, stated, ten, reason, place) for (status, reason), digit, stated, ten, place in rows
        ]

    @property
    def thresholds(self) -> Thresholds:
        """Below either of them a reading is unsure."""
        return self._model.thresholds


def unsure_masks(decision: Decision, thresholds: Thresholds) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks: which of n decisions are not a digit, and which have too low a confidence."""
    confidence = decision.probabilities[np.arange(len(decision.labels)), decision.labels]
    return decision.digitness < thresholds.digitness, confidence < thresholds.confidence


def stated_confidence(decision: Decision, unsure: NDArray[np.bool_], thresholds: Thresholds) -> Floats:
    """Return the confidence (n,) that the readings state, given which of them are unsure.

    Of a recognised reading it is the probability of the digit. Of an unsure one it is that, times the probability that
    the picture shows a digit at all; so the confidence of a blank page is low.
    """
    confidence = decision.probabilities[np.arange(len(decision.labels)), decision.labels]
    if unsure.any():
        log_odds = thresholds.presence_slope * decision.digitness[unsure] + thresholds.presence_offset
        confidence[unsure] /= 1 + np.exp(-np.clip(log_odds, -_LOG_ODDS_MAX, _LOG_ODDS_MAX))
    return confidence
