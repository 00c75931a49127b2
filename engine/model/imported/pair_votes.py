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

from engine.compiled import compiled
from engine.model.svm import DIGITS, Doubles

PAIRS: Final = tuple(combinations(range(DIGITS), 2))
_COUPLING_ROUNDS = 100
_COUPLING_EPS = 0.005 / DIGITS
_PROBABILITY_MIN = 1e-7  # pairwise probabilities stay this far from 0 and 1


def vote(margins: Doubles) -> tuple[NDArray[np.int64], Doubles]:
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
    return wins, wins + sums / (3 * (np.abs(sums) + 1))


def couple(margins: Doubles, pairwise: Doubles) -> Doubles:
    """Estimate ten probabilities from each row's 45 pairwise ones (second method of [2]_)."""
    slope, offset = pairwise
    logits = margins * slope + offset
    of_small = np.clip(1 / (1 + np.exp(np.clip(logits, -500, 500))), _PROBABILITY_MIN, 1 - _PROBABILITY_MIN)
    beats = np.zeros((len(margins), DIGITS, DIGITS))
    for pair, (small, large) in enumerate(PAIRS):
        beats[:, small, large] = of_small[:, pair]
        beats[:, large, small] = 1 - of_small[:, pair]
    probabilities = np.full((len(margins), DIGITS), 1 / DIGITS)
    _couple(beats, probabilities)
    return probabilities


@compiled
def _couple(beats: Doubles, probabilities: Doubles) -> None:
    """Iterate each row until it converges."""
    quadratic = np.empty((DIGITS, DIGITS))
    product = np.empty(DIGITS)
    for i in range(len(beats)):
        row = probabilities[i]
        for digit in range(DIGITS):
            quadratic[digit, digit] = 0.0
            for other in range(DIGITS):
                if other != digit:
                    quadratic[digit, other] = -beats[i, digit, other] * beats[i, other, digit]
                    quadratic[digit, digit] += beats[i, other, digit] ** 2
        for _ in range(_COUPLING_ROUNDS):
            total = _multiply(quadratic, row, product)
            furthest = 0.0
            for digit in range(DIGITS):
                furthest = max(furthest, abs(product[digit] - total))
            if furthest < _COUPLING_EPS:
                break
            _improve(quadratic, row, product, total)


@compiled
def _multiply(quadratic: Doubles, row: Doubles, product: Doubles) -> float:
    """Fill the product of the matrix and the row, in each round as libsvm does; return its product with the row."""
    total = 0.0
    for digit in range(DIGITS):
        product[digit] = 0.0
        for other in range(DIGITS):
            product[digit] += quadratic[digit, other] * row[other]
        total += row[digit] * product[digit]
    return total


@compiled
def _improve(quadratic: Doubles, row: Doubles, product: Doubles, total: float) -> None:
    """Move the row by one step for each digit."""
    for digit in range(DIGITS):
        change = (total - product[digit]) / quadratic[digit, digit]
        row[digit] += change
        total = (total + change * (change * quadratic[digit, digit] + 2 * product[digit])) / (1 + change) ** 2
        for other in range(DIGITS):
            product[other] = (product[other] + change * quadratic[digit, other]) / (1 + change)
            row[other] /= 1 + change
