"""Scenes: every kind decodes, repeats itself, and shows its digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data.disturb import DISTURBANCES
from engine.training.scenes.kinds import SCENES
from engine.training.scenes.pen import drawn, placed

LIMITS = Limits()
FOLDER = Path(__file__).parents[3] / "data" / "digits"
DIGITS = [decode(path.read_bytes(), LIMITS).pixels for path in sorted(FOLDER.glob("*.png"))[::8]]


@pytest.mark.parametrize("kind", SCENES)
def test_a_scene_shows_another_picture_for_each_digit_and_the_same_ones_again(kind: str) -> None:
    first, again = ([SCENES[kind](digit, np.random.default_rng(5)) for digit in DIGITS] for _ in range(2))
    assert first == again
    pictures = [decode(data, LIMITS).pixels for data in first]
    assert len({picture.tobytes() for picture in pictures}) == len(DIGITS)
    assert min(min(picture.shape[:2]) for picture in pictures) >= LIMITS.side_min_px


def test_no_scene_has_the_name_of_a_disturbance() -> None:
    assert not set(SCENES) & set(DISTURBANCES)


def test_a_drawn_digit_is_cut_to_its_ink() -> None:
    for digit in DIGITS:
        ink = drawn(digit, 100, np.random.default_rng(1))
        assert max(ink.shape) == 100
        assert min(ink[0].max(), ink[-1].max(), ink[:, 0].max(), ink[:, -1].max()) > 0.5


def test_what_is_placed_beyond_the_paper_is_cut_off() -> None:
    ink = np.ones((10, 6))
    assert placed(ink, 20, 20, (2, 19)).sum() == 7 * 4
