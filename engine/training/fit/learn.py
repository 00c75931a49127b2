"""Fits the compact machine: projection, centres, widths and weights together.

start    directions by principal components; centres on random training digits, each with a weight for its own label
descend  Adam [1]_ on the logistic loss, with newly augmented digits in each epoch and a step that falls as a cosine
average  the result is a running mean of the parameters of the last steps [2]_
finish   the same again from there, for fewer epochs with smaller steps, in which clean digits count more

The gradients are written out below. All arrays are float32, and a step costs a few matrix products.

References
----------
.. [1] D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
.. [2] B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control 30 (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
_AVERAGED = 0.999  # weight of the past in the running mean
_STEP = {"projection": 5e-3, "centres": 7e-3, "log_widths": 2.4e-2, "weights": 1.6e-1, "bias": 8e-2}
_FIRST_VOTE = 10.0  # a centre's weight for its own digit, at the start


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs that are alike."""

    epochs: int
    clean: int
    """How often each epoch uses each clean digit, each time augmented again."""
    disturbed_share: float
    """Disturbed digits in each epoch, as a share of the clean ones."""
    hands_share: float
    """Digits of other hands in each epoch, as a share of the clean ones."""
    rate: float
    """The largest step, as a share of `_STEP`."""
    warm_up_steps: int
    """Until the step is as large."""
    last_step: float
    """Where the cosine ends, as a share of the largest step."""
    seed: int
    """Added to the plan's."""


def _main() -> Phase:
    return Phase(70, 1, disturbed_share=0.75, hands_share=0.5, rate=1.0, warm_up_steps=400, last_step=0.005, seed=0)


def _finish() -> Phase:
    return Phase(16, 2, disturbed_share=0.5, hands_share=0.4, rate=0.6, warm_up_steps=200, last_step=0.01, seed=9)


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the machine and the length of the training."""

    directions: int = 96
    centres: int = 2_000
    main: Phase = field(default_factory=_main)
    finish: Phase = field(default_factory=_finish)
    seed: int = 0
    strength: Strength = field(default_factory=Strength)

    @property
    def epochs(self) -> int:
        """Of both phases together."""
        return self.main.epochs + self.finish.epochs


class Pools(NamedTuple):
    """More digits than one epoch uses."""

    disturbed: Labelled
    hands: Labelled


def fit(data: Labelled, pools: Pools, plan: Plan, progress: Callable[[int, float], None]) -> Machine:
    """Train a machine; its reject head stays untrained.

    Parameters
    ----------
    data
        The training digits; each epoch uses all of them.
    pools
        Disturbed digits, and those of other hands, as the canvas normalises them. A pool may be smaller than its share.
    plan
        Sizes, epochs, and the seed of all random choices.
    progress
        Called after each epoch with its number (from 1) and its mean loss.
    """
    random = np.random.default_rng(plan.seed + plan.main.seed)
    offset, parameters = _start(mixed(data, pools, plan.main, random), plan, random)
    descent = _Descent(data, pools, plan.strength, offset, progress)
    parameters = descent.run(parameters, plan.main, random)
    parameters = descent.run(parameters, plan.finish, np.random.default_rng(plan.seed + plan.finish.seed))
    return _machine(parameters, offset)


class _Descent:
    """Descends on the loss, phase after phase. Owner: `fit`."""

    def __init__(
        self, data: Labelled, pools: Pools, strength: Strength, offset: Floats, progress: Callable[[int, float], None]
    ) -> None:
        self._data = data
        self._pools = pools
        self._strength = strength
        self._offset = offset
        self._progress = progress
        self._epochs = 0

    def run(self, parameters: Parameters, phase: Phase, random: np.random.Generator) -> Parameters:
        """Return the running mean of the parameters, which are changed in place."""
        average = {name: value.copy() for name, value in parameters.items()}
        optimiser = Adam(parameters, _STEP)
        targets = np.eye(DIGITS, dtype=np.float32)
        for _ in range(phase.epochs):
            drawn = mixed(self._data, self._pools, phase, random)
            drawn = drawn.part(random.permutation(len(drawn)))
            features, labels = describe(augment(drawn.digits, self._strength, random)), drawn.labels
            steps = phase.epochs * math.ceil(len(labels) / _BATCH)
            losses = []
            for first in range(0, len(labels), _BATCH):
                part = slice(first, first + _BATCH)
                loss, gradients = _gradients(parameters, self._offset, features[part], targets[labels[part]])
                optimiser.step(gradients, rate_of(optimiser.taken, steps, phase))
                _update_average(average, parameters, optimiser.taken)
                losses.append(loss)
            self._epochs += 1
            self._progress(self._epochs, float(np.mean(losses)))
        return average


def mixed(data: Labelled, pools: Pools, phase: Phase, random: np.random.Generator) -> Labelled:
    """Join all clean digits, those that are drawn from each pool, and the clean ones again if they count more."""
    shares = ((pools.disturbed, phase.disturbed_share), (pools.hands, phase.hands_share))
    drawn = [(pool, min(round(share * len(data)), len(pool))) for pool, share in shares]
    some = [pool.part(random.choice(len(pool), count, replace=False)) for pool, count in drawn]
    parts = [data, *some, *[data] * (phase.clean - 1)]
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


def rate_of(taken: int, steps: int, phase: Phase) -> float:
    """Return the schedule's rate after `taken` steps: it warms up linearly, then falls as a cosine."""
    cosine = (1 + math.cos(math.pi * taken / steps)) / 2
    warm = min(1.0, taken / phase.warm_up_steps)
    return phase.rate * warm * (cosine * (1 - phase.last_step) + phase.last_step)


def _update_average(average: Parameters, parameters: Parameters, taken: int) -> None:
    """Update the running mean; early steps decay faster, since the first parameters are poor."""
    share = 1 - min(_AVERAGED, (1 + taken) / (10 + taken))
    for name, value in parameters.items():
        average[name] += np.float32(share) * (value - average[name])
