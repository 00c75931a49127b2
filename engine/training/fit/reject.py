"""Fits the eleventh machine, which decides whether a picture shows a digit at all.

Its inputs are the similarities to the same centres as for the ten others (a photo, a scribble or a letter is far from
most of them) and the evidence of the full picture (several parts, ink at the rim, noise). It is a logistic regression,
fitted on clean and disturbed digits against pictures without a digit, all newly augmented in each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import DIGITS, Floats, Machine
from engine.training.data.augmentation import Strength, augment
from engine.training.fit.adam import Adam
from engine.training.parallel import describe

EPOCHS: Final = 12

_BATCH = 500
_SAMPLE = 10_000  # examples of each class, from which the scale of the inputs is computed
_STEP = 0.02
_DECAY = 1e-4  # weight decay in each step, against overfitting to few pictures
_EXTREME = 0.001  # share of the examples at each end whose evidence is clipped


@dataclass(frozen=True, slots=True)
class Examples:
    """The canvas's output for n pictures."""

    digits: Floats
    """(n, 28, 28)"""
    evidence: Floats
    """(n, e)"""

    def part(self, chosen: slice | NDArray[np.int64]) -> Examples:
        """Select some of them."""
        return Examples(self.digits[chosen], self.evidence[chosen])

    def joined(self, other: Examples) -> Examples:
        """Concatenate these and the others."""
        return Examples(np.concatenate([self.digits, other.digits]), np.concatenate([self.evidence, other.evidence]))


def fit_reject(machine: Machine, positive: Examples, negative: Examples, advance: Callable[[], None]) -> Machine:
    """Fit the eleventh column; the ten others stay as they are.

    Parameters
    ----------
    machine
        Fitted on digits by `engine.training.fit.learn`.
    positive, negative
        Pictures of digits, and pictures without a digit; each epoch uses equally many of both.
    advance
        Called after each of `EPOCHS` epochs.
    """
    random = np.random.default_rng(0)
    count = min(len(positive.digits), len(negative.digits))
    sample = positive.part(slice(0, _SAMPLE)).joined(negative.part(random.permutation(count)[:_SAMPLE]))
    machine = replace(
        machine,
        evidence_floor=np.quantile(sample.evidence, _EXTREME, axis=0).astype(np.float32),
        evidence_ceiling=np.quantile(sample.evidence, 1 - _EXTREME, axis=0).astype(np.float32),
    )
    scaled = _Scaled(machine, sample)
    is_digit = np.repeat(np.array([1, 0], np.float32), count)
    weights = np.zeros(scaled.width, np.float32)
    optimiser = Adam({"weights": weights}, {"weights": 1.0})
    steps = EPOCHS * math.ceil(2 * count / _BATCH)
    for _ in range(EPOCHS):
        drawn = [side.part(random.choice(len(side.digits), count, replace=False)) for side in (positive, negative)]
        examples = drawn[0].joined(drawn[1])
        examples = replace(examples, digits=augment(examples.digits, Strength(), random))
        for part in np.array_split(random.permutation(2 * count), math.ceil(2 * count / _BATCH)):
            gradient = _gradient(weights, scaled.inputs(examples.part(part)), is_digit[part])
            rate = _STEP * (1 + math.cos(math.pi * (optimiser.taken + 1) / steps)) / 2
            optimiser.step({"weights": gradient}, rate)
        advance()
    return scaled.machine_with(weights)


class _Scaled:
    """Scales similarities and evidence: each column has mean 0 and deviation 1; a column of 1 for the bias is added."""

    def __init__(self, machine: Machine, sample: Examples) -> None:
        self._machine = machine
        rows = self._rows(sample)
        self._mean, self._spread = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-3)
        self.width = rows.shape[1] + 1

    def _rows(self, examples: Examples) -> Floats:
        similarities = self._machine.similarities(describe(examples.digits))
        return np.concatenate([similarities, self._machine.within_range(examples.evidence)], axis=1)

    def inputs(self, examples: Examples) -> Floats:
        """Return the scaled inputs, one row for each example."""
        rows = (self._rows(examples) - self._mean) / self._spread
        return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)

    def machine_with(self, weights: Floats) -> Machine:
        """Return the machine with these weights in its eleventh column, converted for inputs that are not scaled."""
        unscaled = weights[:-1] / self._spread
        centres = len(self._machine.centres)
        columns, biases = self._machine.weights.copy(), self._machine.bias.copy()
        columns[:, DIGITS], biases[DIGITS] = unscaled[:centres], weights[-1] - unscaled @ self._mean
        return replace(self._machine, weights=columns, bias=biases, evidence_weights=unscaled[centres:])


def _gradient(weights: Floats, rows: Floats, targets: Floats) -> Floats:
    """Compute the gradient of the mean logistic loss of one batch, with weight decay for all but the bias."""
    probability = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
    gradient: Floats = rows.T @ (probability - targets) / np.float32(len(rows))
    gradient[:-1] += np.float32(_DECAY) * weights[:-1]
    return gradient
