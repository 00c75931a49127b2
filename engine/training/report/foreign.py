"""How pictures without a digit are answered: how many pass as a digit, and whether the confidence allows for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.model.classifier import unsure_masks
from engine.model.store import Thresholds
from engine.model.svm import Decision, Floats
from engine.training.report.evaluate import judge
from engine.training.report.measure import Judged, auroc, calibration_error, interval_pct, resampled_interval

SHARES: Final = (0.0, 0.02, 0.1, 0.33)
"""Shares of pictures without a digit for which the calibration is reported."""

_NO_DIGIT: Final = -1  # the label of a picture without a digit: whatever is read is wrong
_HIGH: Final = 0.9


@dataclass(frozen=True, slots=True)
class Foreign:
    """Decisions about pictures without a digit, by their kind."""

    unseen: Mapping[str, Decision]
    """Of letters, signs, shapes and so on that were never learned."""
    learned: Mapping[str, Decision]
    """Of those that were learned, in other pictures than the learned ones."""
    thresholds: Thresholds

    def figures(self, digitness: Floats) -> dict[str, dict[str, Any]]:
        """Compute for each kind: n, AUROC against the digits' `digitness` (n,), shares that are recognised."""
        return {kind: self._figures(kind, digitness) for kind in self.unseen}

    def never_learned(self, kinds: Collection[str]) -> dict[str, Any]:
        """Compute which share of some kinds together is recognised; those that were not read are left out."""
        recognised = [self._recognised(self.unseen[kind]) for kind in kinds if kind in self.unseen]
        together = np.concatenate(recognised) if recognised else np.zeros(0, np.bool_)
        return {"n": len(together), **_share("recognised_pct", together)}

    def _figures(self, kind: str, digitness: Floats) -> dict[str, Any]:
        unseen = self.unseen[kind]
        foreign = unseen.digitness
        return {
            "n": len(foreign),
            "auroc": round(auroc(digitness, foreign), 5),
            # Only the pictures without a digit are resampled: there are far more digits, so those hardly matter.
            "auroc_interval": resampled_interval(lambda drawn: auroc(digitness, foreign[drawn]), len(foreign)),
            **_share("recognised_pct", self._recognised(unseen)),
            **_share("recognised_learned_pct", self._recognised(self.learned[kind])),
        }

    def _recognised(self, decision: Decision) -> NDArray[np.bool_]:
        return ~np.logical_or(*unsure_masks(decision, self.thresholds))

    def calibration(self, digits: Judged) -> list[dict[str, Any]]:
        """Compute the calibration over all answers, recognised and unsure, for each of `SHARES`.

        Parameters
        ----------
        digits
            Readings of pictures that show a digit. Pictures of all kinds that were never learned are added.
        """
        chunks = list(self.unseen.values())
        labels = np.full(sum(len(chunk.labels) for chunk in chunks), _NO_DIGIT, np.int64)
        return [_stated(share, *mixed(digits, judge(chunks, self.thresholds, labels), share)) for share in SHARES]


def mixed(digits: Judged, foreign: Judged, share: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw readings at random so that the given share of them is of pictures without a digit, as many as there are.

    Returns
    -------
    confidence, right : (n,)
        As stated, and whether the reading is right.
    """
    count = len(digits.labels)
    if share:
        count = min(count, round(len(foreign.labels) * (1 - share) / share))
    random = np.random.default_rng(0)
    some = random.permutation(len(digits.labels))[:count]
    others = random.permutation(len(foreign.labels))[: round(count * share / (1 - share))]
    confidence = np.concatenate([digits.confidence[some], foreign.confidence[others]])
    right = np.concatenate([~digits.wrong[some], np.zeros(len(others), np.bool_)])
    return confidence, right


def _stated(share: float, confidence: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    high = confidence >= _HIGH
    return {
        "foreign_pct": round(100 * share),
        "n": len(right),
        "ece_pct": round(100 * calibration_error(confidence, right), 4),
        **_share("right_above_90_pct", right[high]),
    }


def _share(name: str, true: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a share in percent, with its interval."""
    count, total = int(true.sum()), len(true)
    return {name: round(100 * count / total, 2) if total else None, f"{name}_interval": interval_pct(count, total)}
