"""Disturbed digits: every kind decodes, repeats itself, and is what its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data.disturb import DISTURBANCES, disturb

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
