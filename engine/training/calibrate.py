"""Making the confidence honest: one temperature, and the thresholds below which a reading is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.svm import Floats, softmax

_COLDEST, _HOTTEST = 0.25, 4.0
_HALVINGS = 40


def fit_temperature(scores: Floats, labels: NDArray[np.int64]) -> float:
    """Find the temperature with the least logistic loss on digits that the machine has not learned from.

    Parameters
    ----------
    scores : (n, 10) float32
        At temperature 1.
    labels : (n,) int64

    Notes
    -----
    The loss is convex in 1 / temperature, and its slope is the mean over the digits of (expected score - score of the
    label): a bisection finds where the slope changes its sign.
    """
    chosen = scores[np.arange(len(labels)), labels]
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (softmax(scores * np.float32(middle)) * scores).sum(axis=1)
        if float((expected - chosen).mean()) < 0:
            low = middle
        else:
            high = middle
    return 2 / (low + high)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold of the confidence stands for."""

    threshold: float
    coverage: float
    """Share of the digits whose confidence reaches it."""
    error: float
    """Share of these that are read wrongly."""


def threshold_for_coverage(confidence: Floats, right: NDArray[np.bool_], coverage: float) -> OperatingPoint:
    """Find the confidence that the given share of the digits reaches."""
    threshold = float(np.quantile(confidence, 1 - coverage))
    kept = confidence >= threshold
    return OperatingPoint(threshold, float(kept.mean()), float(1 - right[kept].mean()))
