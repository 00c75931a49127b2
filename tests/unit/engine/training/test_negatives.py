"""Pictures without a digit: every kind decodes, repeats itself, and shares nothing between its two parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data.negatives import shapes
from engine.training.data.negatives.glyphs import draw, has
from engine.training.data.negatives.kinds import KINDS, negatives
from engine.training.data.negatives.signs import DOUBLES, LETTERS, SCRIPTS, SIGNS, Table
from engine.training.data.negatives.split import SPLITS, Split
from engine.training.data.negatives.strokes import WRITTEN, write
from engine.training.data.negatives.surfaces import PHOTOS

LIMITS = Limits()
FOLDER = Path(__file__).parents[3] / "data" / "digits"
DIGITS = np.stack([decode(path.read_bytes(), LIMITS).pixels for path in sorted(FOLDER.glob("*.png"))[::4]])
TABLES = pytest.mark.parametrize("table", [LETTERS, SIGNS, SCRIPTS], ids=["letters", "signs", "scripts"])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_without_a_digit_comes_again(kind: str, split: Split) -> None:
    first, again = (negatives(kind, 5, np.random.default_rng(2), split, DIGITS) for _ in range(2))
    assert first == again
    assert len({decode(data, LIMITS).pixels.tobytes() for data in first}) > 1


@pytest.mark.parametrize("kind", ["several", "overlapping", "struck out"])
def test_what_is_made_of_digits_can_be_drawn_without_handwritten_ones(kind: str) -> None:
    for data in negatives(kind, 3, np.random.default_rng(3)):
        assert np.ptp(decode(data, LIMITS).pixels) > 60


@TABLES
def test_what_is_measured_was_never_learned(table: Table) -> None:
    learned, unseen = (set("".join(table[split])) for split in SPLITS)
    assert learned
    assert unseen
    assert not learned & unseen


def test_shapes_strokes_and_photos_are_other_ones_for_measuring() -> None:
    for sources in (shapes._SHAPES, WRITTEN):
        assert not set(sources["train"]) & set(sources["test"])
    assert not set(PHOTOS["train"]) & set(PHOTOS["test"])


@TABLES
def test_no_double_of_a_digit_is_learned_or_measured(table: Table) -> None:
    every = "".join("".join(table[split]) for split in SPLITS)
    assert not set(every) & set("0123456789".join(DOUBLES.values()))


@TABLES
def test_every_character_is_in_a_typeface_that_the_extra_brings(table: Table) -> None:
    missing = [character for split in SPLITS for group in table[split] for character in group if not has(character)]
    assert missing == []


@pytest.mark.parametrize(
    "name", [(split, name) for split in SPLITS for name in WRITTEN[split]], ids=lambda name: name[1]
)
def test_every_written_character_has_ink_and_paper(name: tuple[Split, str]) -> None:
    ink = write(WRITTEN[name[0]][name[1]], np.random.default_rng(0))
    assert ink.max() == pytest.approx(1)
    assert 0.02 < ink.mean() < 0.9


def test_a_letter_is_drawn_in_many_forms() -> None:
    rng = np.random.default_rng(1)
    assert len({draw("A", rng).shape for _ in range(20)}) > 10
