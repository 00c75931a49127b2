"""Fitting the machine: gradients, steps, and what an epoch consists of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.model.svm import DIGITS
from engine.training.data.labelled import Labelled
from engine.training.fit import learn
from engine.training.fit.learn import Plan, Pools
from engine.training.parallel import describe
from tests.unit.engine.training.few_digits import some_digits


def test_the_gradients_are_those_of_the_loss() -> None:
    data = some_digits(40)
    offset, single = learn._start(data, Plan(directions=4, centres=12), np.random.default_rng(0))
    features = describe(data.digits).astype(np.float64)
    targets = np.eye(DIGITS)[data.labels]
    parameters: dict[str, Any] = {name: value.astype(np.float64) for name, value in single.items()}
    _, gradients = learn._gradients(parameters, offset, features, targets)  # type: ignore[arg-type]  # doubles, so that differences are exact
    for name, gradient in gradients.items():
        at = tuple(0 for _ in gradient.shape)
        step = 1e-5
        losses = []
        for sign in (1, -1):
            changed = {key: value.copy() for key, value in parameters.items()}
            changed[name][at] += sign * step
            losses.append(learn._gradients(changed, offset, features, targets)[0])  # type: ignore[arg-type]  # as above
        assert float(gradient[at]) == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-3, abs=1e-7), name


def test_the_step_warms_up_then_falls_to_its_end() -> None:
    phase = replace(Plan().main, rate=0.5, warm_up_steps=10, last_step=0.1)
    rates = [learn.rate_of(taken, 100, phase) for taken in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[10] < 0.5
    assert rates[100] == pytest.approx(0.05)


def test_an_epoch_has_all_clean_digits_and_other_ones_of_each_pool() -> None:
    data, pool = some_digits(30), Labelled(np.ones((50, 28, 28), np.float32), np.arange(50) + 100)
    rng = np.random.default_rng(0)
    hands = Labelled(np.zeros((9, 28, 28), np.float32), np.arange(9) + 200)
    phase = replace(Plan().finish, clean=2, disturbed_share=0.5, hands_share=0.2)
    first, second = (learn.mixed(data, Pools(pool, hands), phase, rng) for _ in range(2))
    for part in (slice(0, 30), slice(51, 81)):
        np.testing.assert_array_equal(first.digits[part], data.digits)
    assert len(first) == 81
    disturbed = set(first.labels[30:45])
    assert len(disturbed) == 15
    assert disturbed <= set(pool.labels)
    assert disturbed != set(second.labels[30:45])
    assert len(set(first.labels[45:51]) & set(hands.labels)) == 6
