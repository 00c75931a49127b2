"""Fits the reject head, which decides whether a picture shows a digit at all.

Its inputs are the features of the digit, the highest scores of the fitted model, and the evidence of the full
picture (several parts, ink at the rim, noise). It is fitted by Adam on the logistic loss: clean and disturbed digits
and those of other hands against pictures without a digit, all newly augmented in each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.model.reject_head import HIGHEST, RejectHead, highest
from engine.model.svm import Floats
from engine.training.data.augmentation import Strength, augment
from engine.training.fit.adam import Adam, Parameters
from engine.training.parallel import describe

EPOCHS: Final = 30

_HIDDEN = 128
_BATCH = 500
_SAMPLE = 10_000  # examples of each class, from which the scale of the inputs is computed
_STEP = 0.002
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


Judge = Callable[[Floats, Floats], Floats]
"""Computes the scores (n, 10) of digits (n, 28, 28) with their features (n, f), before a second look."""


def fit_reject(
    judge: Judge, positive: Examples, negative: Examples, advance: Callable[[], None], epochs: int = EPOCHS
) -> RejectHead:
    """Fit the reject head of a model.

    Parameters
    ----------
    judge
        Computes the model's scores.
    positive, negative
        Pictures of digits, and pictures without a digit; each epoch uses equally many of both.
    advance
        Called after each epoch.
    epochs
        How many.
    """
    random = np.random.default_rng(0)
    count = min(len(positive.digits), len(negative.digits))
    sample = positive.part(random.permutation(len(positive.digits))[:_SAMPLE])
    scale = _Scale(judge, sample.joined(negative.part(random.permutation(len(negative.digits))[:_SAMPLE])))
    parameters = _start(scale.width, random)
    optimiser = Adam(parameters, dict.fromkeys(parameters, 1.0))
    is_digit = np.repeat(np.array([1, 0], np.float32), count)
    steps = epochs * math.ceil(2 * count / _BATCH)
    for _ in range(epochs):
        drawn = [side.part(random.choice(len(side.digits), count, replace=False)) for side in (positive, negative)]
        examples = drawn[0].joined(drawn[1])
        inputs = scale.inputs(Examples(augment(examples.digits, Strength(), random), examples.evidence))
        for part in np.array_split(random.permutation(2 * count), math.ceil(2 * count / _BATCH)):
            rate = _STEP * (1 + math.cos(math.pi * (optimiser.taken + 1) / steps)) / 2
            optimiser.step(gradients(parameters, inputs[part], is_digit[part]), rate)
        advance()
    return scale.head(parameters)


class _Scale:
    """Scales features, scores and evidence: over a sample, each column has mean 0 and deviation 1."""

    def __init__(self, judge: Judge, sample: Examples) -> None:
        self._judge = judge
        self._floor, self._ceiling = np.quantile(sample.evidence, (_EXTREME, 1 - _EXTREME), axis=0).astype(np.float32)
        rows = self._rows(sample)
        self._mean, self._spread = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-3)
        self.width = rows.shape[1]

    def _rows(self, examples: Examples) -> Floats:
        evidence = np.clip(examples.evidence, self._floor, self._ceiling)
        features = describe(examples.digits)
        return np.concatenate([features, highest(self._judge(examples.digits, features)), evidence], axis=1)

    def inputs(self, examples: Examples) -> Floats:
        """Return the scaled inputs, one row for each example."""
        scaled: Floats = (self._rows(examples) - self._mean) / self._spread
        return scaled

    def head(self, parameters: Parameters) -> RejectHead:
        """Return the head with these parameters, converted for inputs that are not scaled."""
        unscaled = parameters["hidden"] / self._spread[:, None]
        features, scores, evidence = np.split(unscaled, [-len(self._floor) - HIGHEST, -len(self._floor)])
        return RejectHead(
            from_features=features,
            from_scores=scores,
            from_evidence=evidence,
            hidden_bias=parameters["hidden_bias"] - self._mean @ unscaled,
            output=parameters["output"],
            output_bias=float(parameters["output_bias"][0]),
            evidence_floor=self._floor,
            evidence_ceiling=self._ceiling,
        )


def _start(width: int, random: np.random.Generator) -> Parameters:
    """Draw small weights: with them, hidden units have about the deviation of the inputs."""
    hidden = random.normal(0, math.sqrt(2 / width), (width, _HIDDEN))
    output = random.normal(0, math.sqrt(1 / _HIDDEN), _HIDDEN)
    return {
        "hidden": hidden.astype(np.float32),
        "hidden_bias": np.zeros(_HIDDEN, np.float32),
        "output": output.astype(np.float32),
        "output_bias": np.zeros(1, np.float32),
    }


def gradients(parameters: Parameters, inputs: Floats, targets: Floats) -> Parameters:
    """Compute the gradients of the mean logistic loss of a batch, with weight decay for all but the biases."""
    hidden = np.maximum(inputs @ parameters["hidden"] + parameters["hidden_bias"], 0)
    log_odds = hidden @ parameters["output"] + parameters["output_bias"]
    slope = (1 / (1 + np.exp(-np.clip(log_odds, -30, 30))) - targets) / np.float32(len(targets))
    back = slope[:, None] * parameters["output"] * (hidden > 0)
    decay = np.float32(_DECAY)
    return {
        "hidden": inputs.T @ back + decay * parameters["hidden"],
        "hidden_bias": back.sum(axis=0),
        "output": hidden.T @ slope + decay * parameters["output"],
        "output_bias": slope.sum(keepdims=True),
    }
