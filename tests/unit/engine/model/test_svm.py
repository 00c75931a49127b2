"""The decision, held against the formula written out in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.model.reject_head import RejectHead
from engine.model.svm import DIGITS, Machine, softmax

FEATURES, DIRECTIONS, CENTRES, EVIDENCE, HIDDEN = 12, 5, 40, 3, 7


@pytest.fixture
def machine() -> Machine:
    rng = np.random.default_rng(1)

    def some(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.standard_normal(shape, np.float32)

    return Machine(
        projection=some(FEATURES, DIRECTIONS),
        offset=some(DIRECTIONS),
        centres=some(CENTRES, DIRECTIONS),
        widths=np.exp(some(CENTRES) - np.float32(2)),
        weights=some(CENTRES, DIGITS),
        bias=some(DIGITS),
        reject=RejectHead(
            from_features=some(FEATURES, HIDDEN),
            from_scores=some(3, HIDDEN),
            from_evidence=some(EVIDENCE, HIDDEN),
            hidden_bias=some(HIDDEN),
            output=some(HIDDEN),
            output_bias=0.25,
            evidence_floor=np.full(EVIDENCE, -0.5, np.float32),
            evidence_ceiling=np.full(EVIDENCE, 0.5, np.float32),
        ),
        temperature=1.5,
    )


def test_similarities_are_gaussian_kernels_of_the_projected_features(machine: Machine) -> None:
    features = np.random.default_rng(2).standard_normal((7, FEATURES)).astype(np.float32)
    points = features.astype(float) @ machine.projection - machine.offset
    squares = ((points[:, None] - machine.centres[None]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(machine.similarities(features), np.exp(-machine.widths * squares), atol=2e-6)


def test_probabilities_are_a_softmax_over_the_temperature_and_sum_to_one(machine: Machine) -> None:
    features = np.random.default_rng(3).standard_normal((7, FEATURES)).astype(np.float32)
    decision = machine.decide(machine.scores(features), np.zeros(7, np.float32))
    scores = machine.similarities(features).astype(float) @ machine.weights + machine.bias
    expected = np.exp(scores / 1.5)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(decision.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(decision.labels, expected.argmax(axis=1))


def test_the_reject_head_is_a_network_over_features_three_scores_and_evidence_within_its_range(
    machine: Machine,
) -> None:
    features = np.random.default_rng(3).standard_normal((7, FEATURES)).astype(np.float32)
    evidence = np.random.default_rng(4).standard_normal((7, EVIDENCE)).astype(np.float32)
    head = machine.reject
    scores = np.array([sorted(row, reverse=True)[:3] for row in machine.scores(features).tolist()])
    inputs = np.concatenate([features.astype(float), scores, np.clip(evidence, -0.5, 0.5)], axis=1)
    weights = np.concatenate([head.from_features, head.from_scores, head.from_evidence])
    expected = np.maximum(inputs @ weights + head.hidden_bias, 0) @ head.output + 0.25
    np.testing.assert_allclose(
        machine.reject.digitness(features, machine.scores(features), evidence), expected, atol=1e-4
    )


def test_a_higher_temperature_is_less_confident_of_the_same_digit(machine: Machine) -> None:
    features = np.random.default_rng(5).standard_normal((7, FEATURES)).astype(np.float32)
    scores, digitness = machine.scores(features), np.zeros(7, np.float32)
    cool, warm = (replace(machine, temperature=at).decide(scores, digitness) for at in (0.5, 3.0))
    np.testing.assert_array_equal(cool.labels, warm.labels)
    assert (cool.probabilities.max(axis=1) > warm.probabilities.max(axis=1)).all()


def test_scores_of_any_size_give_probabilities_without_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0, -1e4]], np.float32)).tolist() == [[1.0, 0.0, 0.0]]


def test_nothing_in_gives_nothing_out(machine: Machine) -> None:
    decision = machine.decide(machine.scores(np.zeros((0, FEATURES), np.float32)), np.zeros(0, np.float32))
    assert decision.probabilities.shape == (0, DIGITS)


@pytest.mark.parametrize("name", ["offset", "centres", "widths", "weights", "bias"])
def test_arrays_that_do_not_belong_together_are_refused(machine: Machine, name: str) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        replace(machine, **{name: getattr(machine, name)[:-1]})


@pytest.mark.parametrize(
    "name", ["from_features", "from_scores", "hidden_bias", "output", "evidence_floor", "evidence_ceiling"]
)
def test_arrays_of_a_reject_head_that_do_not_belong_together_are_refused(machine: Machine, name: str) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        replace(machine.reject, **{name: getattr(machine.reject, name)[..., :-1]})


def test_a_reject_head_of_other_features_is_refused(machine: Machine) -> None:
    with pytest.raises(ValueError, match="from_features must have 12 rows"):
        replace(machine, reject=RejectHead.untrained(FEATURES + 1, EVIDENCE))


def test_an_untrained_reject_head_has_no_opinion(machine: Machine) -> None:
    features, evidence = np.ones((2, FEATURES), np.float32), np.ones((2, EVIDENCE), np.float32)
    head = RejectHead.untrained(FEATURES, EVIDENCE)
    assert head.digitness(features, machine.scores(features), evidence).tolist() == [0, 0]


def test_a_temperature_of_zero_is_refused(machine: Machine) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        replace(machine, temperature=0.0)
