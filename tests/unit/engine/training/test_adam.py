"""Adam against its definition in the paper, written with plain numbers."""

from __future__ import annotations

import math

import numpy as np

from engine.training.fit.adam import Adam

STEPS = {"weights": 0.1, "bias": 0.02}


def by_the_paper(value: float, gradients: list[float], step: float) -> float:
    """Apply algorithm 1 of Kingma and Ba to one number; epsilon is scaled as in their section 2."""
    mean = square = 0.0
    for taken, gradient in enumerate(gradients, 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = step * math.sqrt(1 - 0.999**taken) / (1 - 0.9**taken)
        value -= rate * mean / (math.sqrt(square) + 1e-8)
    return value


def test_each_array_moves_by_its_own_step_as_the_paper_says() -> None:
    random = np.random.default_rng(0)
    parameters = {"weights": np.ones((2, 3), np.float32), "bias": np.zeros(1, np.float32)}
    adam = Adam(parameters, STEPS)
    taken = []
    for _ in range(20):
        gradients = {name: random.standard_normal(value.shape, np.float32) for name, value in parameters.items()}
        adam.step(gradients, 0.5)
        taken.append(gradients)
    assert adam.taken == 20
    for name, start in (("weights", 1.0), ("bias", 0.0)):
        first = [float(gradients[name].flat[0]) for gradients in taken]
        expected = by_the_paper(start, first, 0.5 * STEPS[name])
        assert math.isclose(float(parameters[name].flat[0]), expected, rel_tol=1e-4, abs_tol=1e-6)


def test_parameters_are_changed_in_place() -> None:
    weights = np.zeros(4, np.float32)
    Adam({"weights": weights}, STEPS).step({"weights": np.ones(4, np.float32)}, 1.0)
    np.testing.assert_allclose(weights, -0.1, rtol=1e-4)
