"""The eleventh machine, which says whether a picture shows a digit at all.

It votes over the same centres as the ten others (a photo, a scribble or a letter lies far from most of them) and
over the evidence of the full picture (several parts, ink at the rim, noise). Logistic regression, fitted on digits,
clean and disturbed, against pictures without a digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from engine.svm import DIGITS, Floats, Machine
from engine.training.parallel import describe

_EPOCHS = 30
_BATCH = 500
_STEP = 0.02
_DECAY = 1e-4  # of the weights in each step: what few pictures ask for is not learned by heart
_MOMENTUM, _SMOOTHING = 0.9, 0.999


@dataclass(frozen=True, slots=True)
class Examples:
    """What the canvas made of n pictures."""

    digits: Floats
    """(n, 28, 28)"""
    evidence: Floats
    """(n, e)"""


def fit_reject(machine: Machine, positive: Examples, negative: Examples) -> Machine:
    """Fit the eleventh column; the ten others stay as they are.

    Parameters
    ----------
    machine
        Fitted on digits.
    positive, negative
        Pictures of digits, and pictures without. Both sides weigh the same, however many there are.
    """
    inputs, centre, spread = _inputs(machine, positive, negative)
    is_digit = np.concatenate([np.ones(len(positive.digits)), np.zeros(len(negative.digits))]).astype(np.float32)
    share = float(is_digit.mean())
    importance = np.where(is_digit > 0, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    weights = _descend(inputs, is_digit, importance, np.random.default_rng(0)) / spread
    bias = float(weights[-1] - (weights[:-1] * centre[:-1]).sum())
    centres = len(machine.centres)
    columns, biases = machine.weights.copy(), machine.bias.copy()
    columns[:, DIGITS], biases[DIGITS] = weights[:centres], bias
    return replace(machine, weights=columns, bias=biases, evidence_weights=weights[centres:-1])


def _inputs(machine: Machine, positive: Examples, negative: Examples) -> tuple[Floats, Floats, Floats]:
    """Lay out similarities, evidence and a 1 for each example, each column with mean 0 and deviation 1."""
    parts = [
        np.concatenate(
            [
                machine.similarities(describe(examples.digits)),
                examples.evidence,
                np.ones((len(examples.digits), 1), np.float32),
            ],
            axis=1,
        )
        for examples in (positive, negative)
    ]
    inputs = np.concatenate(parts)
    centre, spread = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(1e-3)
    centre[-1], spread[-1] = 0, 1
    inputs -= centre
    inputs /= spread
    return inputs, centre, spread


def _descend(inputs: Floats, targets: Floats, importance: Floats, random: np.random.Generator) -> Floats:
    """Minimise the logistic loss by Adam, the step falling as a cosine."""
    weights = np.zeros(inputs.shape[1], np.float32)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    steps = _EPOCHS * math.ceil(len(inputs) / _BATCH)
    for step in range(1, steps + 1):
        if (step - 1) % math.ceil(len(inputs) / _BATCH) == 0:
            order = iter(np.array_split(random.permutation(len(inputs)), math.ceil(len(inputs) / _BATCH)))
        part = next(order)
        rows = inputs[part]
        probability = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        gradient = rows.T @ ((probability - targets[part]) * importance[part]) / np.float32(len(part))
        gradient[:-1] += np.float32(_DECAY) * weights[:-1]
        mean += (1 - _MOMENTUM) * (gradient - mean)
        square += (1 - _SMOOTHING) * (gradient * gradient - square)
        rate = _STEP * (1 + math.cos(math.pi * step / steps)) / 2
        rate *= math.sqrt(1 - _SMOOTHING**step) / (1 - _MOMENTUM**step)
        weights -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))
    return weights
