"""The reference of a model: its bins, what is refused, and the index that compares readings with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine.codecs.decode import Picture
from engine.limits import Limits
from engine.model.binning import Bins, measured
from engine.model.classifier import Classifier
from engine.model.files import ModelError, ModelFiles
from engine.model.reference import FIELD, UNSURE, psi, reference_of
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits
from tests.harness.models import version_of

LABELS = np.array([7, 7, 3, 0])
UNSURE_MASK = np.array([False, False, True, False])
CONFIDENCE = np.array([0.9, 0.99, 0.2, 0.99], np.float32)
DIGITNESS = np.array([4.0, 5.0, -3.0, 5.0], np.float32)
REFERENCE = {
    "digits": [0] * 10 + [4],
    "confidence": {"edges": [0.5], "counts": [1, 3]},
    "digitness": {"edges": [], "counts": [4]},
}


def test_the_index_is_that_of_the_definition() -> None:
    # With half a reading in each bin the shares are 10/20 and 10/20, and then 15/20 and 5/20.
    by_hand = (0.75 - 0.5) * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert psi([9.5, 9.5], [14.5, 4.5]) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(0.27465, abs=1e-5)


def test_the_index_of_equal_shares_is_nothing_and_that_of_an_empty_bin_is_finite() -> None:
    assert psi([100.5, 301.5], [200, 600]) == pytest.approx(0, abs=1e-5)
    assert 1 < psi([500, 500], [0, 1000]) < 10


def test_readings_are_counted_in_three_histograms() -> None:
    found = measured(LABELS, UNSURE_MASK, CONFIDENCE, DIGITNESS)
    assert found.digits == (1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1)
    assert [sum(counts) for counts in found.counts.values()] == [4, 4, 4]
    bins = Bins(found)
    counted = bins.counted(bins.places(LABELS, UNSURE_MASK, CONFIDENCE, DIGITNESS))
    assert [tuple(counted[place]) for place in found.bins.values()] == list(found.counts.values())


def test_each_bin_of_a_reference_has_a_tenth_unless_values_are_equal() -> None:
    labels, unsure = np.zeros(1_000, np.int64), np.zeros(1_000, np.bool_)
    spread, same = np.linspace(0, 1, 1_000, dtype=np.float32), np.ones(1_000, np.float32)
    found = measured(labels, unsure, spread, same)
    assert found.confidence.counts == pytest.approx([100] * 10, abs=1)
    assert [count for count in found.digitness.counts if count] == [1_000]


def test_values_that_are_not_finite_are_in_the_first_bin() -> None:
    digitness = np.array([-np.inf, 1, 2, 3], np.float32)
    found = measured(LABELS, UNSURE_MASK, CONFIDENCE, digitness)
    bins = Bins(found)
    counted = bins.counted(bins.places(LABELS, UNSURE_MASK, CONFIDENCE, digitness))
    assert sum(counted[found.bins["digitness"]]) == 4


def test_the_shipped_model_reads_its_own_digits_as_its_reference_says() -> None:
    classifier = Classifier.load(default_model())
    reference = reference_of(classifier.manifest)
    assert reference is not None
    assert classifier.bins is not None
    assert sum(reference.digits) == 10_000
    assert reference.digits[UNSURE] == pytest.approx(classifier.manifest["held_out"]["unsure_pct"] * 100, abs=2)
    picture = Picture(np.zeros((28, 28), np.uint8))
    (blank,) = classifier.classify(classifier.prepare([picture]))
    counted = classifier.bins.counted([blank.place])
    assert [counted[place].index(1) for place in reference.bins.values()] == [UNSURE, 0, 0]


def test_a_model_without_a_reference_counts_nothing() -> None:
    files = ModelFiles.read(default_model())
    manifest = {name: value for name, value in files.manifest.items() if name != FIELD}
    assert reference_of(manifest) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"digits": [4] * 10}, "10 bins of digits, not 11"),
        ({"digits": "many"}, "Expected `array`"),
        ({"digits": [-1] + [0] * 9 + [5]}, "must not be negative"),
        ({"digits": [0] * 11}, "must not be negative, and have one sum above 0"),
        ({"confidence": {"edges": [0.5], "counts": [4]}}, "1 bins between 1 edges"),
        ({"confidence": {"edges": [0.5, 0.5], "counts": [1, 1, 2]}}, "ascend"),
        ({"confidence": {"edges": list(range(10)), "counts": [0] * 10 + [4]}}, "the most is 10"),
        ({"digitness": {"edges": [0.5], "counts": [1, 1]}}, "one sum"),
    ],
)
def test_a_damaged_reference_is_refused_with_the_model(changed: dict[str, Any], why: str) -> None:
    assert reference_of({FIELD: REFERENCE}) is not None
    with pytest.raises(ModelError, match=why):
        version_of("2", **{FIELD: {**REFERENCE, **changed}})


def test_drawn_digits_are_counted_where_they_are_read() -> None:
    classifier = Classifier.load(default_model())
    assert classifier.bins is not None
    outcomes = Reader(classifier, Limits()).read(drawn_digits(20))
    readings = [outcome.reading for (outcome,) in outcomes if outcome.reading is not None]
    counted = classifier.bins.counted([reading.place for reading in readings])
    for digit in range(10):
        assert counted[digit] == sum(reading.digit == digit and reading.reason is None for reading in readings)
