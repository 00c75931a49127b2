"""Doubtful digits are judged by the mean over three views; all others are left as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from engine.model import store
from engine.model.compact import Compact
from engine.model.hog import hog
from engine.model.reference_digits import draw_reference_digits
from engine.model.second_look import TURN_DEGREES, look_again, turned
from engine.model.svm import Floats, Machine
from models import default_model


@pytest.fixture(scope="module")
def machine() -> Machine:
    predictor = store.load(default_model()).predictor
    assert isinstance(predictor, Compact)
    return predictor.machine


def scored_by(machine: Machine) -> Callable[[Floats], Floats]:
    return lambda digits: machine.scores(hog(digits))


def between(first: int, second: int) -> Floats:
    """Show two reference digits over one another, so that neither is certain."""
    digits = draw_reference_digits().astype(np.float32) / np.float32(255)
    mixed: Floats = (digits[first] + digits[second]) / np.float32(2)
    return mixed[None]


def test_a_digit_is_turned_around_the_middle_clockwise() -> None:
    digit = np.zeros((1, 28, 28), np.float32)
    digit[0, 2:8, 12:16] = 1  # above the middle
    expected = ndimage.rotate(digit[0], -TURN_DEGREES, reshape=False, order=1)
    np.testing.assert_allclose(turned(digit, TURN_DEGREES)[0], expected, atol=1e-4)
    ahead = turned(digit, TURN_DEGREES)[0].sum(axis=0)
    assert ahead @ np.arange(28) > digit[0].sum(axis=0) @ np.arange(28), "what is above moves to the right"


def test_a_turn_by_nothing_changes_nothing() -> None:
    digit = np.random.default_rng(1).random((3, 28, 28), np.float32)
    np.testing.assert_array_equal(turned(digit, 0), digit)


def test_a_doubtful_digit_has_the_mean_scores_of_three_views(machine: Machine) -> None:
    digit = between(3, 5)
    scores = machine.scores(hog(digit))
    scores[0] = [0, 0, 0, 5, 0, 4, 0, 0, 0, 0]
    views = [machine.scores(hog(turned(digit, degrees))) for degrees in (-TURN_DEGREES, TURN_DEGREES)]
    after = look_again(scored_by(machine), digit, scores)
    np.testing.assert_allclose(after, (scores + views[0] + views[1]) / 3, rtol=1e-5)


def test_a_clear_digit_keeps_its_scores_beside_a_doubtful_one(machine: Machine) -> None:
    digits = np.concatenate([between(3, 5), between(1, 1)])
    scores = np.zeros((2, 10), np.float32)
    scores[1, 1] = 9
    after = look_again(scored_by(machine), digits, scores)
    np.testing.assert_array_equal(after[1], scores[1])
    assert (after[0] != scores[0]).any()
    assert not scores[0].any(), "the given scores are left as they are"


def test_the_decision_is_made_of_the_scores_after_the_second_look(machine: Machine) -> None:
    digits, evidence = between(3, 5), np.zeros((1, len(machine.reject.from_evidence)), np.float32)
    predictor = Compact(machine)
    expected = predictor.scores(digits) / np.float32(machine.temperature)
    powers = np.exp(expected - expected.max())
    np.testing.assert_allclose(predictor.decide(digits, evidence).probabilities, powers / powers.sum(), rtol=1e-4)
