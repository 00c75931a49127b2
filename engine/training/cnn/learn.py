"""Trains the network: Adam on the logistic loss, newly augmented digits in each epoch.

The step is the same for some epochs, and falls as a cosine in the last ones.

The result is a running mean of the weights of the last steps. After each epoch everything is kept in a file, so that a
training that was stopped goes on from there.

References
----------
.. [1] D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
.. [2] C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016: targets that are not
   quite 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from engine.model.svm import DIGITS
from engine.training.cnn.kept import Kept
from engine.training.cnn.network import build, folded
from engine.training.cnn.shape import Shape, Weights
from engine.training.data.augmentation import Strength, augment
from engine.training.data.labelled import Labelled
from engine.training.fit.learn import Phase, Pools, mixed, rate_of

_BATCH: Final = 250
_AVERAGED: Final = 0.999  # weight of the past in the running mean of the weights
_SOFTENED: Final = 0.05  # share of each target that is spread over all digits
_STEP: Final = 2e-3  # the largest


def _main() -> Phase:
    return Phase(18, 1, disturbed_share=0.75, hands_share=0.6, rate=1.0, warm_up_steps=400, last_step=1.0, seed=0)


def _finish() -> Phase:
    return Phase(6, 1, disturbed_share=0.75, hands_share=0.6, rate=1.0, warm_up_steps=1, last_step=0.005, seed=0)


@dataclass(frozen=True, slots=True)
class CnnPlan:
    """The size of the network and the length of the training."""

    shape: Shape = field(default_factory=Shape)
    precision: str = "mixed_bfloat16"
    main: Phase = field(default_factory=_main)
    finish: Phase = field(default_factory=_finish)
    seed: int = 0
    strength: Strength = field(default_factory=Strength)

    @property
    def epochs(self) -> int:
        """Of both phases together."""
        return self.main.epochs + self.finish.epochs


def fit(data: Labelled, pools: Pools, plan: CnnPlan, kept: Kept, progress: Callable[[int, float], None]) -> Weights:
    """Train a network.

    Parameters
    ----------
    data
        The training digits; each epoch uses all of them.
    pools
        Disturbed digits, and those of other hands, as the canvas normalises them. A pool may be smaller than its share.
    plan
        Sizes, epochs, and the seed of all random choices.
    kept
        What an earlier run has reached, if anything; each epoch is kept there.
    progress
        Called after each epoch with its number (from 1) and its mean loss; not for epochs of an earlier run.
    """
    descent = _Descent(plan)
    done = descent.restore(kept)
    phases = [plan.main] * plan.main.epochs + [plan.finish] * plan.finish.epochs
    for number, phase in enumerate(phases[done:], done):
        random = np.random.default_rng((plan.seed, number))
        digits = mixed(data, pools, phase, random)
        digits = digits.part(random.permutation(len(digits)))
        part = number - (plan.main.epochs if phase is plan.finish else 0)
        loss = descent.epoch(augment(digits.digits, plan.strength, random), digits.labels, phase, part)
        kept.keep(number + 1, descent.state())
        progress(number + 1, loss)
    return descent.result()


class _Descent:
    """The network and its optimiser. Owner: `fit`."""

    def __init__(self, plan: CnnPlan) -> None:
        self._shape = plan.shape
        self._network = build(plan.shape, plan.precision, plan.seed)
        self._optimiser = keras.optimizers.Adam(
            _STEP, use_ema=True, ema_momentum=_AVERAGED, ema_overwrite_frequency=None
        )
        self._optimiser.build(self._network.trainable_variables)
        self._loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=_SOFTENED)
        self._step = tf.function(self._take_step)

    def epoch(self, digits: Any, labels: Any, phase: Phase, part: int) -> float:
        """Descend over all digits once, as the part of a phase; return the mean loss."""
        targets = np.eye(DIGITS, dtype=np.float32)[labels]
        count = len(labels) // _BATCH or 1  # the last few are left out: steps of another size would be compiled again
        losses = []
        for number in range(count):
            chosen = slice(number * _BATCH, (number + 1) * _BATCH)
            self._optimiser.learning_rate.assign(
                _STEP * rate_of(part * count + number + 1, phase.epochs * count, phase)
            )
            losses.append(float(self._step(digits[chosen, ..., None], targets[chosen])))
        return float(np.mean(losses))

    def _take_step(self, digits: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self._loss(targets, self._network(digits, training=True))
        variables = self._network.trainable_variables
        self._optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def _variables(self) -> list[Any]:
        return [*self._network.variables, *self._optimiser.variables]

    def state(self) -> list[Any]:
        """Return all numbers that the next epoch needs."""
        return [np.asarray(variable) for variable in self._variables()]

    def restore(self, kept: Kept) -> int:
        """Continue where an earlier run ended; return how many epochs are done."""
        done, state = kept.reached()
        if done:
            for variable, value in zip(self._variables(), state, strict=True):
                variable.assign(value)
        return done

    def result(self) -> Weights:
        """Return the running mean of the weights."""
        self._optimiser.finalize_variable_values(self._network.trainable_variables)
        return folded(self._network, self._shape)
