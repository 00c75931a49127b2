"""Calibrates the confidence, and chooses the thresholds below which a reading is unsure.

temperature  one number, for the probabilities of the ten digits: on the mean they are as high as they are right
thresholds   below them a reading is unsure
presence     two numbers, for the probability that an unsure picture shows a digit
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import Doubles, Floats, softmax

FOREIGN_SHARE: Final = 0.005
"""The share of pictures without a digit for which the confidence of unsure readings is calibrated."""

_COLDEST, _HOTTEST = 0.25, 4.0
_HALVINGS = 40
_HALF = 0.5
_ROUNDS = 60
_FIRST = (1.0, 0.0)  # slope and offset if nothing is known: the digitness itself
_RIDGE = 1e-3  # pulls them there, if few pictures are unsure
_SETTLED = 1e-9  # a step this small changes nothing


def fit_temperature(scores: Floats, labels: NDArray[np.int64]) -> float:
    """Find the temperature at which the mean confidence is the share of right readings [1]_.

    Parameters
    ----------
    scores : (n, 10) float32
        At temperature 1, of digits that were not used for training; n is at least 1.
    labels : (n,) int64

    Notes
    -----
    The mean confidence falls while the temperature rises: a bisection finds where it meets the share. The smallest
    logistic loss is not what is looked for, since a few wrong labels with a certain reading dominate it: on digits like
    MNIST's it makes all other readings less confident than they are right.

    References
    ----------
    .. [1] L. Clarté, B. Loureiro, F. Krzakala, L. Zdeborová, "Expectation Consistency for Calibration of Neural
       Networks", UAI 2023.
    """
    right = np.count_nonzero(scores.argmax(axis=1) == labels)
    share = (right + _HALF) / (len(labels) + 1)  # never quite 1, as if one more reading had been half right
    low, high = _COLDEST, _HOTTEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        confidence = float(softmax(scores / np.float32(middle)).max(axis=1).mean(dtype=np.float64))
        if confidence > share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


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
