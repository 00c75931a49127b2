"""Fits the compact machine: projection, centres, widths and weights together.

start    directions by principal components; centres on random training digits, each with a weight for its own label
descend  Adam [1]_ on the logistic loss, with newly augmented digits in each epoch and a step that falls as a cosine
average  the result is a running mean of the parameters of the last steps [2]_

The gradients are written out below. All arrays are float32, and a step costs a few matrix products.

References
----------
.. [1] D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
.. [2] B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control 30 (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.canvas.pipeline import EVIDENCE
from engine.model.reject_head import RejectHead
from engine.model.svm import DIGITS, Floats, Machine, softmax
from engine.training.data.augmentation import Strength, augment
from engine.training.data.labelled import Labelled
from engine.training.fit.adam import Adam, Parameters
from engine.training.parallel import describe

_BATCH = 200
_WARM_UP_STEPS = 400
_LAST_STEP = 0.005  # of the largest step: where the cosine ends
_AVERAGED = 0.999  # weight of the past in the running mean
_STEP = {"projection": 5e-3, "centres": 7e-3, "log_widths": 2.4e-2, "weights": 1.6e-1, "bias": 8e-2}
_FIRST_VOTE = 10.0  # a centre's weight for its own digit, at the start


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the machine and the length of the training."""

    directions: int = 96
    centres: int = 2_000
    epochs: int = 140
    disturbed_share: float = 0.4
    """Disturbed digits in each epoch, as a share of the clean ones."""
    hands_share: float = 0.45
    """Digits of other hands in each epoch, as a share of the clean ones."""
    seed: int = 0
    strength: Strength = field(default_factory=Strength)


class Pool(NamedTuple):
    """More digits than one epoch uses."""

    digits: Labelled
    share: float
    """How many of them each epoch draws, as a share of the clean digits."""


def fit(data: Labelled, pools: Sequence[Pool], plan: Plan, progress: Callable[[int, float], None]) -> Machine:
    """Train a machine; its reject head stays untrained.

    Parameters
    ----------
    data
        The training digits; each epoch uses all of them.
    pools
        Disturbed digits, and those of other hands, as the canvas normalises them.
    plan
        Sizes, epochs, and the seed of all random choices.
    progress
        Called after each epoch with its number (from 1) and its mean loss.
    """
    random = np.random.default_rng(plan.seed)
    drawn = [min(round(pool.share * len(data)), len(pool.digits)) for pool in pools]
    offset, parameters = _start(_mixed(data, pools, drawn, random), plan, random)
    average = {name: value.copy() for name, value in parameters.items()}
    optimiser = Adam(parameters, _STEP)
    steps = plan.epochs * math.ceil((len(data) + sum(drawn)) / _BATCH)
    targets = np.eye(DIGITS, dtype=np.float32)
    for epoch in range(plan.epochs):
        mixed = _mixed(data, pools, drawn, random)
        mixed = mixed.part(random.permutation(len(mixed)))
        features, labels = describe(augment(mixed.digits, plan.strength, random)), mixed.labels
        losses = []
        for first in range(0, len(labels), _BATCH):
            part = slice(first, first + _BATCH)
            loss, gradients = _gradients(parameters, offset, features[part], targets[labels[part]])
            optimiser.step(gradients, _rate(optimiser.taken, steps))
            _update_average(average, parameters, optimiser.taken)
            losses.append(loss)
        progress(epoch + 1, float(np.mean(losses)))
    return _machine(average, offset)


def _mixed(data: Labelled, pools: Sequence[Pool], drawn: Sequence[int], random: np.random.Generator) -> Labelled:
    """Join all clean digits and those that are drawn from each pool."""
    some = [
        pool.digits.part(random.choice(len(pool.digits), count, replace=False))
        for pool, count in zip(pools, drawn, strict=True)
    ]
    parts = [data, *some]
    return Labelled(np.concatenate([part.digits for part in parts]), np.concatenate([part.labels for part in parts]))


def _start(data: Labelled, plan: Plan, random: np.random.Generator) -> tuple[Floats, Parameters]:
    """Place the centres on training digits, in the directions with the largest variance."""
    features = describe(data.digits)
    _, vectors = np.linalg.eigh(np.cov(features.T))
    projection = np.ascontiguousarray(vectors[:, ::-1][:, : plan.directions], np.float32)
    offset = features.mean(axis=0) @ projection
    chosen = random.choice(len(data), plan.centres, replace=len(data) < plan.centres)
    centres = features[chosen] @ projection - offset
    some, others = np.array_split(centres[:500], 2)
    typical = np.median(((some[:, None] - others[None]) ** 2).sum(axis=-1))
    weights = np.zeros((plan.centres, DIGITS), np.float32)
    weights[np.arange(plan.centres), data.labels[chosen]] = _FIRST_VOTE
    return offset, {
        "projection": projection,
        "centres": centres,
        "log_widths": np.full(plan.centres, math.log(2 / typical), np.float32),
        "weights": weights,
        "bias": np.zeros(DIGITS, np.float32),
    }


def _machine(parameters: Parameters, offset: Floats) -> Machine:
    """Build the machine; its reject head has not learned anything yet."""
    return Machine(
        projection=parameters["projection"],
        offset=offset,
        centres=parameters["centres"],
        widths=np.exp(parameters["log_widths"]),
        weights=parameters["weights"],
        bias=parameters["bias"],
        reject=RejectHead.untrained(len(parameters["projection"]), len(EVIDENCE)),
        temperature=1.0,
    )


def _gradients(parameters: Parameters, offset: Floats, features: Floats, targets: Floats) -> tuple[float, Parameters]:
    """Compute the mean logistic loss of a batch and its gradient for each parameter."""
    projection, centres, weights = parameters["projection"], parameters["centres"], parameters["weights"]
    widths = np.exp(parameters["log_widths"])
    points = features @ projection - offset
    exponents = points @ (2 * widths[:, None] * centres).T
    exponents -= (points * points).sum(axis=1)[:, None] * widths
    exponents -= widths * (centres * centres).sum(axis=1)
    similarities = np.exp(exponents)
    probabilities = softmax(similarities @ weights + parameters["bias"])
    loss = -float(np.log(np.maximum((probabilities * targets).sum(axis=1), 1e-9)).mean())
    by_score = (probabilities - targets) / np.float32(len(targets))
    by_exponent = by_score @ weights.T
    by_exponent *= similarities
    pull = by_exponent * widths
    by_point = 2 * (pull @ centres - points * pull.sum(axis=1)[:, None])
    return loss, {
        "projection": features.T @ by_point,
        "centres": 2 * (pull.T @ points - pull.sum(axis=0)[:, None] * centres),
        "log_widths": (by_exponent * exponents).sum(axis=0),
        "weights": similarities.T @ by_score,
        "bias": by_score.sum(axis=0),
    }


def _rate(taken: int, steps: int) -> float:
    """Return the schedule's rate after `taken` steps: it warms up linearly, then falls as a cosine."""
    cosine = (1 + math.cos(math.pi * taken / steps)) / 2
    return min(1.0, taken / _WARM_UP_STEPS) * (cosine * (1 - _LAST_STEP) + _LAST_STEP)


def _update_average(average: Parameters, parameters: Parameters, taken: int) -> None:
    """Update the running mean; early steps decay faster, since the first parameters are poor."""
    share = 1 - min(_AVERAGED, (1 + taken) / (10 + taken))
    for name, value in parameters.items():
        average[name] += np.float32(share) * (value - average[name])
