"""Pictures without a digit: every kind decodes, repeats itself, and shares nothing between its two parts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.codecs.decode import decode
from engine.limits import Limits
from engine.training.data.disturb import Digit
from engine.training.data.negatives import dressing, kinds, shapes
from engine.training.data.negatives.blocks import MORE_LETTERS, MORE_SCRIPTS, MORE_SIGNS
from engine.training.data.negatives.dressing import as_mnist, dressed
from engine.training.data.negatives.glyphs import Ink, draw, has
from engine.training.data.negatives.icons import icon
from engine.training.data.negatives.invented import invented
from engine.training.data.negatives.kinds import KINDS, negatives
from engine.training.data.negatives.pen import few_strokes as few_strokes_module
from engine.training.data.negatives.pen.few_strokes import FAMILIES, few_strokes
from engine.training.data.negatives.pen.strokes import WRITTEN, write
from engine.training.data.negatives.signs import DOUBLES, LETTERS, SCRIPTS, SIGNS, Table
from engine.training.data.negatives.split import SPLITS, Split
from engine.training.data.negatives.surfaces import EMPTY_SCENES, PHOTOS
from engine.training.scenes.pen import drawn

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


@pytest.mark.parametrize(
    "sources",
    [shapes._SHAPES, WRITTEN, PHOTOS, EMPTY_SCENES],
    ids=["shapes", "strokes", "photos", "empty scenes"],
)
def test_shapes_strokes_photos_and_scenes_are_other_ones_for_measuring(sources: Mapping[Split, Iterable[str]]) -> None:
    assert not set(sources["train"]) & set(sources["test"])


def test_no_empty_scene_is_a_0() -> None:
    assert not {"box", "ring"} & {name for split in SPLITS for name in EMPTY_SCENES[split]}


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


def test_no_form_of_a_double_or_of_a_measured_letter_is_learned() -> None:
    measured = "".join("".join(table["test"]) for table in (LETTERS, SIGNS, SCRIPTS))
    every = "".join((*MORE_LETTERS, *MORE_SIGNS, *MORE_SCRIPTS))
    forms = {character: unicodedata.normalize("NFKD", character)[0] for character in every}
    unwanted = set(measured) | set("0123456789".join(DOUBLES.values()))
    assert [character for character, form in forms.items() if form in unwanted] == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_signs_of_few_strokes_have_ink_and_paper_and_differ(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_strokes_module, "FAMILIES", {family: FAMILIES[family]})
    inks = [few_strokes(np.random.default_rng(seed)) for seed in range(30)]
    for ink in inks:
        assert ink.max() == pytest.approx(1)
        assert 0.005 < ink.mean() < 0.9
    assert len({ink.tobytes() for ink in inks}) == 30


def test_only_what_is_learned_has_signs_of_random_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_at: list[int] = []

    def counted(rng: np.random.Generator) -> Ink:
        drawn_at.append(1)
        return few_strokes(rng)

    monkeypatch.setattr(kinds, "few_strokes", counted)
    negatives("written", 40, np.random.default_rng(0), "test")
    assert drawn_at == []
    negatives("written", 40, np.random.default_rng(0), "train")
    assert 5 < len(drawn_at) < 35


def test_a_letter_is_drawn_in_many_forms() -> None:
    rng = np.random.default_rng(1)
    assert len({draw("A", rng).shape for _ in range(20)}) > 10


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("make", [icon, invented], ids=["icons", "invented"])
def test_what_is_put_together_has_ink_and_paper(
    make: Callable[[Split, np.random.Generator], Ink], split: Split
) -> None:
    for seed in range(30):
        ink = make(split, np.random.default_rng(seed))
        assert ink.max() == pytest.approx(1)
        assert 0.01 < ink.mean() < 0.9


def cross(width_px: int) -> Ink:
    ink = np.zeros((120, 120), np.float32)
    for end in ((119, 119), (119, 0)):
        cv2.line(ink, (119 - end[0], 119 - end[1]), end, 1.0, width_px)
    return ink


def disc() -> Ink:
    ink = np.zeros((90, 90), np.float32)
    cv2.circle(ink, (45, 45), 40, 1.0, -1)
    return ink


def letter_with_hairline() -> Ink:
    ink = np.zeros((120, 120), np.float32)
    ink[:, :16] = ink[:, -16:] = 1  # the stems of an H
    ink[59:62] = 1
    return ink


@pytest.mark.parametrize("ink", [cross(1), cross(12), letter_with_hairline()], ids=["thin", "wide", "both"])
def test_reducing_keeps_strokes_whole(ink: Ink) -> None:
    picture = as_mnist(ink)
    rows, columns = np.flatnonzero(picture.max(1)), np.flatnonzero(picture.max(0))
    assert (len(rows), len(columns)) == (20, 20)
    in_scene = drawn(picture, 60, np.random.default_rng(0), (0.0, 0.0)) > 0.5
    assert cv2.connectedComponents(in_scene.astype(np.uint8))[0] == 1 + 1  # and the paper


def test_what_is_no_digit_is_shown_in_every_way_in_which_digits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()

    def way(name: str) -> Callable[[Digit, np.random.Generator], bytes]:
        def show(digit: Digit, _: np.random.Generator) -> bytes:
            seen.add(name)
            return digit.tobytes()

        return show

    monkeypatch.setattr(dressing, "SLOTS", ((way("scanned"),), (way("on a disc"), way("in a box"))))
    for seed in range(60):
        dressed(cross(8), np.random.default_rng(seed))
    assert seen == {"scanned", "on a disc", "in a box"}


@pytest.mark.parametrize(("ink", "outlined"), [(cross(8), True), (disc(), False)], ids=["strokes", "disc"])
def test_only_strokes_are_outlined(ink: Ink, outlined: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001  # a parameter of the test
    monkeypatch.setattr(dressing, "_OUTLINES", (outline := lambda *_: b"outline",))
    monkeypatch.setattr(dressing, "SLOTS", ((outline, lambda *_: b"other"),))
    shown = {dressed(ink, np.random.default_rng(seed)) for seed in range(60)}
    assert b"other" in shown
    assert (b"outline" in shown) == outlined


def test_faint_ink_is_shown_too() -> None:
    for seed in range(30):
        assert decode(dressed(np.full((60, 60), 0.2, np.float32), np.random.default_rng(seed)), LIMITS).pixels.size
