"""Readings: what is published about a digit, and when it is unsure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.canvas.pipeline import EVIDENCE, Canvas
from engine.codecs.decode import Picture
from engine.model import store as model
from engine.model.classifier import Classifier
from engine.model.reference_digits import as_ink, draw_reference_digits
from engine.model.store import Thresholds
from models import default_model


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(default_model())


def with_thresholds(**thresholds: float) -> Classifier:
    return Classifier(replace(model.load(default_model()), thresholds=Thresholds(**thresholds)))


def random_canvas(count: int) -> Canvas:
    """Mixtures of two digits: readings of every confidence."""
    rng = np.random.default_rng(0)
    digits = as_ink(draw_reference_digits())
    mixed = np.maximum(digits[rng.integers(10, size=count)], digits[rng.integers(10, size=count)] * np.float32(0.6))
    return Canvas(mixed, rng.random((count, len(EVIDENCE)), np.float32))


def test_a_reading_names_the_likeliest_digit_and_its_probability(classifier: Classifier) -> None:
    canvas = random_canvas(50)
    decision = classifier.decide(canvas)
    for reading, probabilities in zip(classifier.classify(canvas), decision.probabilities, strict=True):
        assert reading.digit == probabilities.argmax()
        assert reading.probabilities[reading.digit] == pytest.approx(probabilities.max(), abs=1e-4)
        assert sum(reading.probabilities) == pytest.approx(1, abs=5e-4)
        assert all(round(value, 4) == value for value in reading.probabilities)


def test_the_confidence_of_a_recognised_reading_is_the_probability_of_its_digit() -> None:
    for reading in with_thresholds(confidence=0.0, digitness=-1e9).classify(random_canvas(50)):
        assert reading.confidence == reading.probabilities[reading.digit]


def test_the_confidence_of_an_unsure_reading_allows_for_a_picture_without_a_digit() -> None:
    classifier = with_thresholds(confidence=0.0, digitness=1e9, presence_slope=0.5, presence_offset=-1.0)
    canvas = random_canvas(50)
    digitness = classifier.decide(canvas).digitness
    for reading, log_odds in zip(classifier.classify(canvas), 0.5 * digitness - 1, strict=True):
        expected = reading.probabilities[reading.digit] / (1 + math.exp(-log_odds))
        assert reading.confidence == pytest.approx(expected, abs=2e-4)


def test_log_odds_of_any_size_give_a_confidence() -> None:
    for offset in (-1e30, 1e30):
        readings = with_thresholds(confidence=2.0, digitness=1e9, presence_offset=offset).classify(random_canvas(3))
        assert all(0 <= reading.confidence <= 1 for reading in readings)


def test_a_blank_page_is_unsure_and_says_so_in_its_confidence(classifier: Classifier) -> None:
    shade = 200 + np.linspace(-30, 30, 80) + np.random.default_rng(0).normal(0, 3, (60, 80))
    pages = [*(np.full((60, 80), level, np.uint8) for level in (0, 128, 255)), np.rint(shade).astype(np.uint8)]
    for reading in classifier.classify(classifier.prepare([Picture(page) for page in pages])):
        assert (reading.status, reading.reason) == ("unsure", "not-a-digit")
        assert reading.confidence < 0.05


def test_a_reading_below_the_confidence_is_unsure_with_a_reason() -> None:
    reading = with_thresholds(confidence=1.1, digitness=-1e9).classify(random_canvas(1))[0]
    assert (reading.status, reading.reason) == ("unsure", "low-confidence")
    assert reading.digit in range(10)


def test_a_picture_without_a_digit_is_unsure_however_confident() -> None:
    reading = with_thresholds(confidence=0.0, digitness=1e9).classify(random_canvas(1))[0]
    assert (reading.status, reading.reason) == ("unsure", "not-a-digit")


def test_above_both_thresholds_a_reading_is_recognised_without_a_reason() -> None:
    reading = with_thresholds(confidence=0.0, digitness=-1e9).classify(random_canvas(1))[0]
    assert (reading.status, reading.reason) == ("recognised", None)


@pytest.mark.parametrize("size", [1, 2, 7, 32, 100])
def test_batches_of_any_size_give_the_same_digits_and_probabilities(classifier: Classifier, size: int) -> None:
    canvas = random_canvas(100)
    whole = classifier.decide(canvas)
    for first in range(0, 100, size):
        part = slice(first, first + size)
        decision = classifier.decide(Canvas(canvas.digits[part], canvas.evidence[part]))
        np.testing.assert_array_equal(decision.labels, whole.labels[part])
        np.testing.assert_allclose(decision.probabilities, whole.probabilities[part], atol=1e-4)
        np.testing.assert_allclose(decision.digitness, whole.digitness[part], atol=1e-3)


def test_the_order_of_a_batch_does_not_matter(classifier: Classifier) -> None:
    canvas, order = random_canvas(64), np.random.default_rng(1).permutation(64)
    straight = classifier.decide(canvas).probabilities[order]
    shuffled = classifier.decide(Canvas(canvas.digits[order], canvas.evidence[order])).probabilities
    np.testing.assert_allclose(shuffled, straight, atol=1e-4)


def test_no_pictures_give_no_readings(classifier: Classifier) -> None:
    assert classifier.classify(classifier.prepare([])) == []
