"""Calibrates the confidence by one temperature, and chooses the thresholds below which a reading is unsure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import Floats, softmax

_COLDEST, _HOTTEST = 0.25, 4.0
_HALVINGS = 40


def fit_temperature(scores: Floats, labels: NDArray[np.int64]) -> float:
    """Find the temperature with the smallest logistic loss on digits that were not used for training.

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


def threshold_for_share(values: Floats, share: float) -> float:
    """Find the value below which the given share of the digits lies."""
    return float(np.quantile(values, share))
