"""Disturbed digits and pictures without a digit: every kind decodes, repeats itself, and is what its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data import typefaces
from engine.training.data.disturb import DISTURBANCES, disturb
from engine.training.data.negatives import KINDS, PHOTOS, negatives
from engine.training.data.typefaces import PACKAGES, TypefacesMissingError, draw
from tests.harness.typefaces import with_typefaces

LIMITS = Limits()
FOLDER = Path(__file__).parents[3] / "data" / "digits"
DIGITS = np.stack([decode(path.read_bytes(), LIMITS).pixels for path in sorted(FOLDER.glob("*.png"))[::4]])
DRAWN = ("letters", "several")  # with typefaces, which a machine may lack


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


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DRAWN])
def test_a_picture_without_a_digit_comes_again(kind: str, split: typefaces.Split) -> None:
    first, again = (negatives(kind, 5, np.random.default_rng(2), split) for _ in range(2))
    assert first == again
    assert len({decode(data, LIMITS).pixels.tobytes() for data in first}) > 1


@with_typefaces
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_drawn_with_typefaces_comes_again(kind: str, split: typefaces.Split) -> None:
    first, again = (negatives(kind, 5, np.random.default_rng(2), split) for _ in range(2))
    assert first == again


def test_several_digits_may_be_handwritten_ones() -> None:
    for data in negatives("several", 5, np.random.default_rng(3), digits=DIGITS):
        assert decode(data, LIMITS).pixels.max() > 127


def test_training_and_testing_share_no_source() -> None:
    assert not set(PHOTOS["train"]) & set(PHOTOS["test"])
    assert not set(PACKAGES["train"]) & set(PACKAGES["test"])
    assert set(PHOTOS["test"]) == {"camera", "cat", "page", "moon", "grass", "clock", "chelsea", "coins"}


def test_missing_typefaces_are_named_in_one_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(typefaces, "_ROOT", tmp_path)
    typefaces._families.cache_clear()
    with pytest.raises(TypefacesMissingError, match=r"apt-get install fonts-breip .* fonts-rufscript$"):
        draw("A", "train", np.random.default_rng(0))
    typefaces._families.cache_clear()
