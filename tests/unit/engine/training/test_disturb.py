"""Disturbed digits: every kind decodes, repeats itself, and is what its name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data.disturb import DISTURBANCES, disturb
from engine.training.data.handwriting import other_handwriting, photographed
from engine.training.data.samples import disturbed_samples, prepare
from tests.unit.engine.training.few_digits import sample_pixels

LIMITS = Limits()
FOLDER = Path(__file__).parents[3] / "data" / "digits"
DIGITS = np.stack([decode(path.read_bytes(), LIMITS).pixels for path in sorted(FOLDER.glob("*.png"))[::4]])


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_a_disturbance_gives_pictures_and_the_same_ones_again(kind: str) -> None:
    first, again = (disturb(kind, DIGITS, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    for data in first:
        assert min(decode(data, LIMITS).pixels.shape[:2]) >= 8


def test_a_clean_digit_is_the_digit_and_an_inverted_one_its_negative() -> None:
    random = np.random.default_rng(0)
    assert np.array_equal([decode(data, LIMITS).pixels for data in disturb("clean", DIGITS, random)], DIGITS)
    assert np.array_equal([decode(data, LIMITS).pixels for data in disturb("inverted", DIGITS, random)], 255 - DIGITS)


def test_off_centre_means_200_px() -> None:
    for data in disturb("off_centre_200", DIGITS, np.random.default_rng(1)):
        picture = decode(data, LIMITS).pixels
        rows, columns = np.nonzero(picture > 127)
        away = np.hypot(rows.mean() - (len(picture) - 1) / 2, columns.mean() - (len(picture) - 1) / 2)
        assert away == pytest.approx(200, abs=5)


@pytest.mark.parametrize("kind", [other_handwriting, photographed])
def test_disturbed_digits_keep_their_ink_on_the_canvas(kind: Any) -> None:
    pixels = sample_pixels()
    seen = prepare([kind(digit, np.random.default_rng(i)) for i, digit in enumerate(pixels)])
    likeness = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen.digits, pixels, strict=True)]
    assert float(np.median(likeness)) > 0.6


def test_the_pool_depends_on_its_seed_alone() -> None:
    pixels = sample_pixels()[:6]
    once, again, other = (disturbed_samples(pixels, seed, lambda: None).digits for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
