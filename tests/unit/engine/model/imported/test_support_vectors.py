"""The machine of an SVC: how much memory it takes."""

from __future__ import annotations

import tracemalloc

import numpy as np

from engine.model.imported.support_vectors import Kernel, SupportVectors

_MANY = 20_000


def test_a_batch_is_compared_with_any_number_of_support_vectors_in_little_memory() -> None:
    """All kernel values of a batch would take 40 MB at once, and each array on the way to them as much."""
    rng = np.random.default_rng(0)
    machine = SupportVectors(
        Kernel("rbf", 0.1, 0.0, 0),
        rng.normal(size=(_MANY, 9)),
        np.full(10, _MANY // 10),
        rng.normal(size=(9, _MANY)),
        np.zeros(45),
    )
    features = rng.normal(size=(256, 9))
    one_by_one = np.concatenate([machine.outputs(features[i : i + 1]) for i in range(3)])
    tracemalloc.start()
    try:
        outputs = machine.outputs(features)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 50_000_000
    np.testing.assert_allclose(outputs[:3], one_by_one)
