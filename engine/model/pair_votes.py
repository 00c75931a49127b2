"""Decides between ten digits by one binary classifier for each pair of them, as libsvm does.

References
----------
.. [1] C.-C. Chang, C.-J. Lin, "LIBSVM: A Library for Support Vector Machines", ACM TIST 2 (2011), sections 7 and 8.
.. [2] T.-F. Wu, C.-J. Lin, R. Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling",
   JMLR 5 (2004), algorithm 2.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.block_hog import Doubles
from engine.model.svm import DIGITS, Floats

PAIRS: Final = tuple(combinations(range(DIGITS), 2))
_COUPLING_ROUNDS = 100
_COUPLING_EPS = 0.005 / DIGITS
_PROBABILITY_MIN = 1e-7  # pairwise probabilities stay this far from 0 and 1


def vote(margins: Doubles) -> tuple[NDArray[np.int64], Floats]:
    """Count the votes for each digit (n, 10), and score them: votes plus up to a third of a vote for the margins.

    The first is libsvm's prediction (the first maximum), the second scikit-learn's `decision_function` of shape "ovr".
    """
    wins = np.zeros((len(margins), DIGITS), np.int64)
    sums = np.zeros((len(margins), DIGITS))
    for pair, (small, large) in enumerate(PAIRS):
        won = margins[:, pair] > 0
        wins[:, small] += won
        wins[:, large] += ~won
        sums[:, small] += margins[:, pair]
        sums[:, large] -= margins[:, pair]
    return wins, (wins + sums / (3 * (np.abs(sums) + 1))).astype(np.float32)


def couple(margins: Doubles, pairwise: Doubles) -> Floats:
    """Estimate ten probabilities from each row's 45 pairwise ones (second method of [2]_)."""
    slope, offset = pairwise
    logits = margins * slope + offset
    of_small = np.clip(1 / (1 + np.exp(np.clip(logits, -500, 500))), _PROBABILITY_MIN, 1 - _PROBABILITY_MIN)
    beats = np.zeros((len(margins), DIGITS, DIGITS))
    for pair, (small, large) in enumerate(PAIRS):
        beats[:, small, large] = of_small[:, pair]
        beats[:, large, small] = 1 - of_small[:, pair]
    return np.array([_coupled(row) for row in beats], np.float32).reshape(len(margins), DIGITS)


def _coupled(beats: Doubles) -> Doubles:
    """Iterate one row until it converges."""
    quadratic = -beats * beats.T
    np.fill_diagonal(quadratic, (beats**2).sum(axis=0))
    probabilities = np.full(DIGITS, 1 / DIGITS)
    product = quadratic @ probabilities
    total = float(probabilities @ product)
    for _ in range(_COUPLING_ROUNDS):
        if np.abs(product - total).max() < _COUPLING_EPS:
            break
        for digit in range(DIGITS):
            change = (total - product[digit]) / quadratic[digit, digit]
            probabilities[digit] += change
            total = (total + change * (change * quadratic[digit, digit] + 2 * product[digit])) / (1 + change) ** 2
            product = (product + change * quadratic[digit]) / (1 + change)
            probabilities /= 1 + change
    return probabilities
