"""Temperature, thresholds, and the probability that a picture shows a digit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.model.svm import DIGITS
from engine.training.fit.calibrate import FOREIGN_SHARE, fit_presence, fit_temperature, threshold_for_share


def test_the_temperature_makes_confidence_match_the_share_of_right_answers() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20_000, DIGITS))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature((scores * 1.7).astype(np.float32), labels) == pytest.approx(1.7, rel=0.03)


def test_a_few_wrong_labels_hardly_change_the_temperature() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 6, (20_000, DIGITS)).astype(np.float32)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    certain = np.flatnonzero(chances.max(axis=1) > 0.999)[:40]
    before = fit_temperature(scores, labels)
    labels[certain] = (labels[certain] + 1) % DIGITS
    assert fit_temperature(scores, labels) == pytest.approx(before, rel=0.05)


def test_the_temperature_is_finite_although_all_readings_are_right() -> None:
    scores = 4 * np.eye(DIGITS, dtype=np.float32)
    softer = fit_temperature(scores, np.arange(DIGITS))
    assert 0.25 < softer < 4


def test_a_threshold_leaves_the_given_share_below() -> None:
    values = np.random.default_rng(0).random(1_000).astype(np.float32)
    assert (values < threshold_for_share(values, 0.01)).mean() == pytest.approx(0.01, abs=0.001)


def test_presence_is_the_share_of_digits_among_unsure_pictures() -> None:
    rng = np.random.default_rng(0)
    digits, foreign = (rng.normal(mean, 2, 40_000).astype(np.float32) for mean in (3, -3))
    slope, offset = fit_presence(digits, foreign, threshold=0.0)
    for low, high in ((-3, -2), (-1.5, -0.5)):
        shows, none = (((low < part) & (part < high)).mean() for part in (digits, foreign))
        share = (1 - FOREIGN_SHARE) * shows / ((1 - FOREIGN_SHARE) * shows + FOREIGN_SHARE * none)
        stated = 1 / (1 + math.exp(-(slope * (low + high) / 2 + offset)))
        assert stated == pytest.approx(share, abs=0.05)


def test_presence_can_be_found_although_digits_and_others_do_not_overlap() -> None:
    slope, offset = fit_presence(np.full(50, -1, np.float32), np.full(50, -9, np.float32), threshold=0.0)
    assert slope * -1 + offset > 0 > slope * -9 + offset


def test_presence_is_the_digitness_itself_if_nothing_is_unsure() -> None:
    assert fit_presence(np.ones(9, np.float32), np.ones(9, np.float32), threshold=0.0) == (1, 0)
