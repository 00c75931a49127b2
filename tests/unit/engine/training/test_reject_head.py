"""Fitting the reject head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.model.compact import Compact
from engine.training.fit import learn, reject
from engine.training.fit.learn import Pools
from engine.training.fit.reject import Examples, fit_reject
from engine.training.report.measure import (
    auroc,
)
from tests.unit.engine.training.few_digits import small_plan, some_digits


def test_the_gradients_of_the_reject_head_are_those_of_its_loss() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(0, 1, (30, 6)), np.repeat([1.0, 0.0], 15)
    parameters: dict[str, Any] = {
        name: value.astype(np.float64) + 0.1 for name, value in reject._start(6, random).items()
    }

    def loss(changed: dict[str, Any]) -> float:
        hidden = np.maximum(inputs @ changed["hidden"] + changed["hidden_bias"], 0)
        log_odds = hidden @ changed["output"] + changed["output_bias"]
        decay = sum(reject._DECAY / 2 * (changed[name] ** 2).sum() for name in ("hidden", "output"))
        return float((np.logaddexp(0, log_odds) - targets * log_odds).mean() + decay)

    for name, gradient in reject.gradients(parameters, inputs, targets).items():  # type: ignore[arg-type]  # doubles, so that differences are exact
        losses = []
        for sign in (1, -1):
            changed = {key: value.copy() for key, value in parameters.items()}
            changed[name].flat[0] += sign * 1e-5
            losses.append(loss(changed))
        assert gradient.flat[0] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3, abs=1e-7), name


@pytest.mark.slow  # trains a machine
def test_the_reject_head_learns_to_distinguish_digits_from_noise() -> None:
    data = some_digits(400)
    nothing = data.part(slice(0, 0))
    machine = learn.fit(data, Pools(nothing, nothing), small_plan(epochs=10), lambda *_: None)
    rng = np.random.default_rng(0)
    evidence = np.zeros((400, len(machine.reject.from_evidence)), np.float32)
    noise = Examples(rng.random((400, 28, 28), np.float32), evidence)
    head = fit_reject(
        lambda _, features: machine.scores(features), Examples(data.digits, evidence), noise, lambda: None
    )
    fitted = Compact(replace(machine, reject=head))
    unseen = some_digits(100)
    digits = fitted.decide(unseen.digits, evidence[:100])
    others = fitted.decide(rng.random((100, 28, 28), np.float32), evidence[:100])
    assert auroc(digits.digitness, others.digitness) > 0.9
