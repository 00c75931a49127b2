"""The eleventh machine, which says whether a picture shows a digit at all.

It votes over the same centres as the ten others (a photo, a scribble or a letter lies far from most of them) and
over the evidence of the full picture (several parts, ink at the rim, noise). Logistic regression, fitted on digits,
clean and disturbed, against pictures without a digit; fresh copies of both in every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.svm import DIGITS, Floats, Machine
from engine.training.data.copies import Strength, copy
from engine.training.parallel import describe

EPOCHS: Final = 12

_BATCH = 500
_SAMPLE = 10_000  # examples of each side that say how the inputs are scaled
_STEP = 0.02
_DECAY = 1e-4  # of the weights in each step: what few pictures ask for is not learned by heart
_MOMENTUM, _SMOOTHING = 0.9, 0.999
_EXTREME = 0.001  # share of the examples whose evidence counts no more than that of the others


@dataclass(frozen=True, slots=True)
class Examples:
    """What the canvas made of n pictures."""

    digits: Floats
    """(n, 28, 28)"""
    evidence: Floats
    """(n, e)"""

    def part(self, chosen: slice | NDArray[np.int64]) -> Examples:
        """Take some of them."""
        return Examples(self.digits[chosen], self.evidence[chosen])

    def joined(self, other: Examples) -> Examples:
        """Put these before the others."""
        return Examples(np.concatenate([self.digits, other.digits]), np.concatenate([self.evidence, other.evidence]))


def fit_reject(machine: Machine, positive: Examples, negative: Examples, advance: Callable[[], None]) -> Machine:
    """Fit the eleventh column; the ten others stay as they are.

    Parameters
    ----------
    machine
        Fitted on digits.
    positive, negative
        Pictures of digits, and pictures without; each epoch takes as many of the ones as of the others.
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
    descent = _Descent(scaled.width, steps=EPOCHS * math.ceil(2 * count / _BATCH))
    for _ in range(EPOCHS):
        drawn = [side.part(random.choice(len(side.digits), count, replace=False)) for side in (positive, negative)]
        examples = drawn[0].joined(drawn[1])
        examples = replace(examples, digits=copy(examples.digits, Strength(), random))
        for part in np.array_split(random.permutation(2 * count), math.ceil(2 * count / _BATCH)):
            descent.step(scaled.inputs(examples.part(part)), is_digit[part])
        advance()
    return scaled.machine_with(descent.weights)


class _Scaled:
    """Similarities and evidence of examples, each column with mean 0 and deviation 1, and a 1 for the bias."""

    def __init__(self, machine: Machine, sample: Examples) -> None:
        self._machine = machine
        rows = self._rows(sample)
        self._mean, self._spread = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-3)
        self.width = rows.shape[1] + 1

    def _rows(self, examples: Examples) -> Floats:
        similarities = self._machine.similarities(describe(examples.digits))
        return np.concatenate([similarities, self._machine.within_range(examples.evidence)], axis=1)

    def inputs(self, examples: Examples) -> Floats:
        """Lay out the examples, one a row."""
        rows = (self._rows(examples) - self._mean) / self._spread
        return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)

    def machine_with(self, weights: Floats) -> Machine:
        """Put the weights into the eleventh column, for inputs that are not scaled."""
        unscaled = weights[:-1] / self._spread
        centres = len(self._machine.centres)
        columns, biases = self._machine.weights.copy(), self._machine.bias.copy()
        columns[:, DIGITS], biases[DIGITS] = unscaled[:centres], weights[-1] - unscaled @ self._mean
        return replace(self._machine, weights=columns, bias=biases, evidence_weights=unscaled[centres:])


class _Descent:
    """Minimises the logistic loss by Adam, the step falling as a cosine."""

    def __init__(self, width: int, steps: int) -> None:
        self.weights = np.zeros(width, np.float32)
        self._mean, self._square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self._taken, self._steps = 0, steps

    def step(self, rows: Floats, targets: Floats) -> None:
        """Move the weights by the gradient of one batch."""
        probability = 1 / (1 + np.exp(-np.clip(rows @ self.weights, -30, 30)))
        gradient = rows.T @ (probability - targets) / np.float32(len(rows))
        gradient[:-1] += np.float32(_DECAY) * self.weights[:-1]
        self._taken += 1
        self._mean += (1 - _MOMENTUM) * (gradient - self._mean)
        self._square += (1 - _SMOOTHING) * (gradient * gradient - self._square)
        rate = _STEP * (1 + math.cos(math.pi * self._taken / self._steps)) / 2
        rate *= math.sqrt(1 - _SMOOTHING**self._taken) / (1 - _MOMENTUM**self._taken)
        self.weights -= np.float32(rate) * self._mean / (np.sqrt(self._square) + np.float32(1e-8))
