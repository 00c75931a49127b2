"""The model card, written from a trial that was made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.model.classifier import Classifier
from engine.model.store import Thresholds
from engine.model.svm import DIGITS, Decision
from engine.training.hands.pictures import PICTURES
from engine.training.report import plots
from engine.training.report.card import write_card
from engine.training.report.figures import drawn_as, drawn_digits, scene_groups
from engine.training.report.foreign import Foreign, mixed
from engine.training.report.measure import Judged, joined
from engine.training.report.scenes import SceneReadings
from engine.training.report.trial import HandReadings, Trial
from engine.training.scenes.kinds import GROUPS, SCENES
from models import default_model

COUNT = 600
SPEED = {
    "images_per_s_core": 31_415,
    "plain_chain_images_per_s": 421.5,
    "times_plain_chain": 74.5,
    "us_per_image": {"28 px PNG, batches of 256": {"decode": 11.0, "canvas": 7.5, "whole": 31.8}},
}


def judged(wrong: int) -> Judged:
    labels = np.arange(COUNT) % DIGITS
    digits = labels.copy()
    digits[:wrong] = (labels[:wrong] + 1) % DIGITS
    confidence = np.linspace(0.5, 1, COUNT).astype(np.float32)
    return Judged(labels, digits, confidence, confidence < 0.51)


def foreign(recognised: int) -> Decision:
    rng = np.random.default_rng(0)
    digitness = rng.normal(-5, 1, 50).astype(np.float32)
    digitness[:recognised] = 0.5
    probabilities = rng.dirichlet(np.ones(DIGITS), 50).astype(np.float32)
    return Decision(probabilities.argmax(axis=1), probabilities, digitness)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(default_model(), copy, ignore=shutil.ignore_patterns("*.png", "*.md", "figures.json"))
    return copy


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare time: the intervals that are found by resampling are not looked at here."""
    monkeypatch.setattr("engine.training.report.measure._RESAMPLES", 5)


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that the drawings take."""
    monkeypatch.setattr("engine.training.report.card.draw_all", lambda *_: [])


@pytest.fixture
def hands() -> HandReadings:
    """Pen tracks, and two variants of each digit of which the second is written with an upstroke."""
    kinds = {"pen tracks": judged(9)}
    for digit in range(DIGITS):
        kinds |= {f"{digit} plain": judged(digit), f"{digit} with upstroke": judged(15 + digit)}
    drawn_as = np.tile([picture.__name__ for picture in PICTURES], COUNT * len(kinds) // len(PICTURES))
    return HandReadings(kinds, drawn_as, np.zeros((len(drawn_as), 28, 28), np.uint8))


@pytest.fixture
def trial(hands: HandReadings) -> Trial:
    return Trial(
        clean=judged(3),
        pixels=np.zeros((COUNT, 28, 28), np.uint8),
        digitness=np.random.default_rng(1).normal(5, 1, COUNT).astype(np.float32),
        robustness={"ruled": judged(6), "all_at_once": judged(12)},
        foreign=Foreign(
            {"photos": foreign(2), "letters": foreign(4), "shapes": foreign(5)},
            {"photos": foreign(1), "letters": foreign(0), "shapes": foreign(0)},
            Thresholds(0.0, 0.0),
        ),
        other_format=judged(18),
        hands=hands,
        scenes=SceneReadings(
            {kind: judged(3 * number) for number, kind in enumerate(SCENES)},
            np.zeros((len(SCENES) * COUNT, 56, 56), np.uint8),
        ),
    )


@pytest.mark.usefixtures("_no_pictures")
def test_the_card_has_every_figure_with_its_interval(folder: Path, trial: Trial) -> None:
    card = write_card(Classifier.load(folder), trial, SPEED, folder).read_text()
    assert "| error | 0.50 % | 0.17 to 1.46 % |" in card
    assert "| ruled | 600 | 1.00 % | 0.46 to 2.16 % |" in card
    assert "| all at once | 600 | 2.00 % |" in card
    assert "| photos | 50 | 1.0000 | 4.00 % | 1.10 to 13.46 % | 2.00 % |" in card
    assert "| 1 with upstroke | 600 | 2.67 % |" in card
    assert "| all variants of 3 | 1,200 | 1.75 % |" in card
    assert "| Turkey, pen tracks | 600 | 1.50 % | 0.79 to 2.83 % | 2.00 % | 98.00 % |" in card
    assert "| Turkey, scikit-learn's 8x8 digits | 600 | 3.00 % |" in card
    assert "| tight photo | 600 | 0.50 % |" in card
    assert "| tight crops | 1,200 | 0.25 % |" in card
    assert "| digits | 12,600 |  |\n| error | 1.98 % |" in card  # of all other hands together
    assert "Of\n100 letters, signs and shapes that were never learned, 9.00 % are" in card
    assert "31,415 images/s" in card
    assert "| 28 px PNG, batches of 256 | 11.0 | 7.5 | 31.8 |" in card


def test_calibration_over_all_answers_counts_pictures_without_a_digit_as_wrong() -> None:
    digits = Judged(np.zeros(90, int), np.zeros(90, int), np.ones(90, np.float32), np.zeros(90, np.bool_))
    others = Judged(np.full(50, -1), np.zeros(50, int), np.full(50, 0.25, np.float32), np.ones(50, np.bool_))
    confidence, right = mixed(digits, others, 0.1)
    assert len(right) == 100
    assert right.sum() == 90
    assert confidence[~right].tolist() == [0.25] * 10
    confidence, right = mixed(digits, others, 0.5)
    assert (len(right), right.sum()) == (100, 50)  # as many as there are without a digit


def test_every_picture_of_the_card_lies_beside_it(folder: Path, trial: Trial) -> None:
    card = write_card(Classifier.load(folder), trial, None, folder).read_text()
    shown = [line.split("(")[1].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert len(shown) == 8
    assert all((folder / name).stat().st_size > 1_000 for name in shown)


@pytest.mark.usefixtures("_no_pictures")
def test_machines_find_the_same_figures_as_json(folder: Path, trial: Trial) -> None:
    write_card(Classifier.load(folder), trial, SPEED, folder)
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["clean"]["error_pct"] == 0.5
    assert figures["hands_together"]["n"] == 21 * COUNT
    assert figures["summary"]["shadow with an edge"] == figures["scenes"]["shadow_edge"]
    assert figures["summary"]["1 with upstroke, all variants"]["n"] == 10 * COUNT
    assert figures["reject"]["photos"]["recognised_pct"] == 4
    assert [row["foreign_pct"] for row in figures["all_answers"]] == [0, 2, 10, 33]
    assert figures["speed"] == SPEED


@pytest.mark.usefixtures("_no_pictures")
def test_a_card_without_measured_speed_has_no_line_about_it(folder: Path, trial: Trial) -> None:
    assert "## Speed" not in write_card(Classifier.load(folder), trial, None, folder).read_text()


def test_a_bin_without_a_wrong_reading_does_not_lie_on_the_floor(trial: Trial) -> None:
    (axes,) = plots._reliability(trial).axes
    floor = axes.get_ylim()[0] * 1.5
    marks = [(line.get_marker(), np.ravel(line.get_ydata())[0]) for line in axes.lines if line.get_marker() != "None"]
    assert {mark for mark, _ in marks} == {"o", "v"}
    assert all(height > floor for _, height in marks)


def test_each_scene_is_in_one_group() -> None:
    assert sorted(kind for kinds in GROUPS.values() for kind in kinds) == sorted(SCENES)


def test_groups_have_all_readings_of_their_scenes(trial: Trial) -> None:
    groups = scene_groups(trial.scenes.kinds)
    assert joined(groups.values()).wrong.sum() == joined(trial.scenes.kinds.values()).wrong.sum()
    assert len(groups["desks"].labels) == 4 * COUNT


def test_drawn_digits_are_sorted_by_digit_and_by_picture(hands: HandReadings) -> None:
    digits = drawn_digits(hands)
    assert digits["3"].wrong.sum() == 3 + 18
    assert digits["upstroke"].wrong.sum() == sum(range(15, 25))
    pictures = list(drawn_as(hands).values())
    assert joined(pictures).wrong.sum() == digits["all"].wrong.sum()  # pen tracks are not among them
    assert [len(part.labels) for part in pictures] == [20 * COUNT * share // 6 for share in (2, 2, 1, 1)]


def test_a_reading_is_right_and_recognised_or_wrong_or_unsure() -> None:
    judged = Judged(np.arange(4), np.array([0, 1, 9, 9]), np.ones(4, np.float32), np.array([False, True, False, True]))
    assert judged.figures()["right_recognised_pct"] == 25
