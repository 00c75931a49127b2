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
from engine.training.report import plots
from engine.training.report.card import write_card
from engine.training.report.foreign import Foreign, mixed
from engine.training.report.measure import Judged
from engine.training.report.trial import Trial
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


@pytest.fixture
def trial() -> Trial:
    return Trial(
        clean=judged(3),
        pixels=np.zeros((COUNT, 28, 28), np.uint8),
        digitness=np.random.default_rng(1).normal(5, 1, COUNT).astype(np.float32),
        robustness={"ruled": judged(6), "all_at_once": judged(12)},
        foreign=Foreign({"photos": foreign(2)}, {"photos": foreign(1)}, Thresholds(0.0, 0.0)),
        other_format=judged(18),
        hands={"pen tracks": judged(9), "1 with upstroke": judged(15)},
        hand_pixels=np.zeros((2 * COUNT, 28, 28), np.uint8),
    )


def test_the_card_has_every_figure_with_its_interval(folder: Path, trial: Trial) -> None:
    card = write_card(Classifier.load(folder), trial, SPEED, folder).read_text()
    assert "| error | 0.50 % | 0.17 to 1.46 % |" in card
    assert "| ruled | 600 | 1.00 % | 0.46 to 2.16 % |" in card
    assert "| all at once | 600 | 2.00 % |" in card
    assert "| photos | 50 | 1.0000 | 4.00 % | 1.10 to 13.46 % | 2.00 % |" in card
    assert "| 1 with upstroke | 600 | 2.50 % |" in card
    assert "| digits | 1,200 |  |\n| error | 2.00 % |" in card  # of all other hands together
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
    assert len(shown) == 7
    assert all((folder / name).stat().st_size > 1_000 for name in shown)


def test_machines_find_the_same_figures_as_json(folder: Path, trial: Trial) -> None:
    write_card(Classifier.load(folder), trial, SPEED, folder)
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["clean"]["error_pct"] == 0.5
    assert figures["hands_together"]["n"] == 2 * COUNT
    assert figures["reject"]["photos"]["recognised_pct"] == 4
    assert [row["foreign_pct"] for row in figures["all_answers"]] == [0, 2, 10, 33]
    assert figures["speed"] == SPEED


def test_a_card_without_measured_speed_has_no_line_about_it(folder: Path, trial: Trial) -> None:
    assert "## Speed" not in write_card(Classifier.load(folder), trial, None, folder).read_text()


def test_a_bin_without_a_wrong_reading_does_not_lie_on_the_floor(trial: Trial) -> None:
    (axes,) = plots._reliability(trial).axes
    floor = axes.get_ylim()[0] * 1.5
    marks = [(line.get_marker(), np.ravel(line.get_ydata())[0]) for line in axes.lines if line.get_marker() != "None"]
    assert {mark for mark, _ in marks} == {"o", "v"}
    assert all(height > floor for _, height in marks)
