"""Measures of readings: errors and their intervals, calibration, order."""

from __future__ import annotations

import numpy as np
import pytest

from engine.model.svm import Floats
from engine.training.report.measure import (
    Judged,
    auroc,
    calibration_error,
    error_at_coverage,
    interval_pct,
    resampled_interval,
)


def test_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    confidence = np.full(1_500, 0.9, np.float32)
    assert calibration_error(confidence, np.arange(1_500) % 10 != 0) == pytest.approx(0, abs=0.01)
    assert calibration_error(confidence, np.ones(1_500, np.bool_)) == pytest.approx(0.1, abs=1e-6)


def test_error_at_coverage_leaves_out_the_least_confident() -> None:
    confidence = np.linspace(0, 1, 200).astype(np.float32)
    right = np.ones(200, np.bool_)
    right[:2] = False
    assert error_at_coverage(confidence, right, 1.0) == pytest.approx(0.01)
    assert error_at_coverage(confidence, right, 0.99) == 0


def test_auroc_is_the_chance_of_the_right_order() -> None:
    def floats(*values: float) -> Floats:
        return np.array(values, np.float32)

    assert auroc(floats(2, 3), floats(0, 1)) == 1
    assert auroc(floats(0, 1), floats(2, 3)) == 0
    assert auroc(floats(1, 1), floats(1, 1)) == 0.5
    assert auroc(floats(1, 3), floats(0, 2)) == 0.75


def test_wilson_intervals_agree_with_the_literature() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, and 0 of 20.
    assert interval_pct(81, 263) == pytest.approx([25.53, 36.62], abs=0.01)
    assert interval_pct(0, 20) == pytest.approx([0, 16.11], abs=0.01)
    assert interval_pct(0, 0) is None


def test_resampling_finds_about_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    low, high = resampled_interval(lambda drawn: float(values[drawn].mean()), 400) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert low < values.mean() < high


def test_judged_readings_count_errors_among_all_and_among_the_recognised() -> None:
    judged = Judged(
        labels=np.array([1, 2, 3, 4]),
        digits=np.array([1, 2, 3, 9]),
        confidence=np.array([1, 1, 1, 0.3], np.float32),
        unsure=np.array([False, False, False, True]),
    )
    figures = judged.figures()
    assert (figures["error_pct"], figures["unsure_pct"], figures["error_pct_recognised"]) == (25, 25, 0)
    assert judged.confusion()[4, 9] == 1
