"""Calibrates the confidence, and chooses the thresholds below which a reading is unsure.

temperature  one number, for the probabilities of the ten digits
thresholds   below them a reading is unsure
presence     two numbers, for the probability that an unsure picture shows a digit
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import Floats, softmax

FOREIGN_SHARE: Final = 0.005
"""The share of pictures without a digit for which the confidence of unsure readings is calibrated."""

Doubles = NDArray[np.float64]

_COLDEST, _HOTTEST = 0.25, 4.0
_HALVINGS = 40
_ROUNDS = 60
_FIRST = (1.0, 0.0)  # slope and offset if nothing is known: the digitness itself
_RIDGE = 1e-3  # pulls them there, if few pictures are unsure
_SETTLED = 1e-9  # a step this small changes nothing


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


def fit_presence(digits: Floats, foreign: Floats, threshold: float) -> tuple[float, float]:
    """Find slope and offset of the log odds that a picture below the threshold shows a digit, from its digitness.

    Parameters
    ----------
    digits, foreign : (n,) and (m,) float32
        The digitness of pictures with a digit and of pictures without one; neither is empty. Of the pictures that will
        come, `FOREIGN_SHARE` are supposed to show none.
    threshold
        Pictures above it do not count.
    """
    values = np.concatenate([digits, foreign]).astype(np.float64)
    counts = [len(digits), len(foreign)]
    shows = np.repeat([1.0, 0.0], counts)
    weights = np.repeat([(1 - FOREIGN_SHARE) / counts[0], FOREIGN_SHARE / counts[1]], counts)
    below = values < threshold
    if not below.any():
        return _FIRST
    return _fit_line(values[below], shows[below], weights[below] / weights[below].sum())


def _fit_line(values: Doubles, shows: Doubles, weights: Doubles) -> tuple[float, float]:
    """Fit a logistic regression by Newton's method; steps that would raise the loss are halved."""
    rows = np.stack([values, np.ones_like(values)], axis=1)
    first = np.array(_FIRST)

    def loss(line: Doubles) -> float:
        log_odds, away = rows @ line, line - first
        return float(weights @ (np.logaddexp(0, log_odds) - shows * log_odds) + _RIDGE / 2 * (away @ away))

    line = first
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ line, -30, 30)))
        gradient = rows.T @ (weights * (chance - shows)) + _RIDGE * (line - first)
        curvature = rows.T @ (rows * (weights * chance * (1 - chance))[:, None]) + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(line - step) > loss(line) and np.abs(step).max() > _SETTLED:
            step /= 2
        line = line - step
    return float(line[0]), float(line[1])
