"""Copies of a digit, each a little different."""

from __future__ import annotations

import numpy as np

from engine.model.reference_digits import as_ink, draw_reference_digits
from engine.training.data.augmentation import Strength, augment


def test_copies_differ_from_the_digit_and_from_one_another_but_not_from_seed_to_seed() -> None:
    digits = as_ink(draw_reference_digits())
    strength = Strength(untouched=0)
    first, second = (augment(digits, strength, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(first - digits).max(axis=(1, 2)).min() > 0.1
    assert np.abs(first - second).max(axis=(1, 2)).min() > 0.1
    np.testing.assert_array_equal(first, augment(digits, strength, np.random.default_rng(1)))


def test_a_copy_of_no_strength_is_the_digit() -> None:
    digits = as_ink(draw_reference_digits())
    np.testing.assert_array_equal(augment(digits, Strength(untouched=1), np.random.default_rng(0)), digits)
