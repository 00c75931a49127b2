"""How scores become probabilities: what is refused, and what happens at the ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.model.imported.confidence import Confidence, Pairwise, Sigmoid, Softmax, Steps

ONES = np.ones(10)
TWO_EACH = np.full(10, 2)


@pytest.mark.parametrize(
    "confidence",
    [Softmax(1.0), Sigmoid(ONES, ONES), Steps(np.tile([-1.0, 1.0], 10), np.tile([0.0, 1.0], 10), TWO_EACH)],
    ids=lambda each: type(each).__name__,
)
def test_any_scores_become_probabilities_that_sum_to_one(confidence: Confidence) -> None:
    scores = np.array([np.full(10, size) for size in (-1e300, -1e4, -1.0, 0.0, 1.0, 1e4, 1e300)])
    probabilities = confidence.probabilities(scores, scores)
    np.testing.assert_allclose(probabilities, 0.1)


def test_scores_beyond_the_steps_have_the_probability_of_the_last_step() -> None:
    steps = Steps(np.tile([0.0, 1.0], 10), np.tile([0.2, 0.8], 10), TWO_EACH)
    ((low, high, *_),) = steps.probabilities(scores := np.array([[-9.0, 9.0, *np.zeros(8)]]), scores)
    assert high == pytest.approx(4 * low)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Softmax(0.0), "temperature must be above 0"),
        (lambda: Sigmoid(ONES, np.ones(9)), "offsets must have shape"),
        (lambda: Steps(np.zeros(20), np.zeros(20), TWO_EACH), "inputs must ascend"),
        (lambda: Steps(np.arange(20.0), np.zeros(20), np.array([0, 4, *np.full(8, 2)])), "every digit needs a point"),
        (lambda: Steps(np.arange(20.0), np.zeros(19), TWO_EACH), "outputs must have shape"),
        (lambda: Pairwise(np.zeros((2, 44))), "pairwise must have shape"),
        (lambda: Pairwise(np.zeros((2, 45))).probabilities(np.zeros((1, 10)), np.zeros((1, 10))), "outputs must have"),
    ],
)
def test_values_that_do_not_fit_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
