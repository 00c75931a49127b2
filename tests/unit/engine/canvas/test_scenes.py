"""Scenes: the same digit comes out of crops and plates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.canvas.pipeline import EVIDENCE, normalise
from engine.codecs.decode import Picture
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.harness.drawn_digits import SAMPLES, TWO, apart, drawn, enlarged, rounded

FILES = sorted((Path(__file__).parents[3] / "data" / "scenes").iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_scene_is_read_as_a_person_reads_it(file: Path) -> None:
    reader = Reader(Classifier.load(default_model()), Limits())
    ((outcome,),) = reader.read([file.read_bytes()])
    assert outcome.reading is not None
    assert (outcome.reading.status, outcome.reading.digit) == ("recognised", int(file.stem[-1]))


def test_the_rim_of_a_cropped_digit_is_no_evidence() -> None:
    page = 255 - rounded(255 * drawn(TWO))
    whole, cropped = (normalise([Picture(picture)]).evidence[0] for picture in (page, page[6:95, 16:85]))
    rim = [line.split(":")[0] for line in EVIDENCE].index("rim")
    assert whole[rim] == cropped[rim] == 0


@pytest.mark.parametrize(
    ("around", "paper", "pen"),
    [((255, 255, 255), (200, 30, 40), (255, 255, 255)), ((30, 120, 60), (255, 255, 255), (0, 0, 0))],
    ids=["red on white", "white on green"],
)
def test_digits_on_a_plate_come_out_as_on_paper(
    around: tuple[int, ...], paper: tuple[int, ...], pen: tuple[int, ...]
) -> None:
    pictures = []
    for sample in SAMPLES:
        ink = np.pad(enlarged(sample, 5), 70)[:, :, None] / 255
        picture = np.full((280, 280, 3), around, np.float64)
        cv2.circle(picture, (140, 140), 125, paper, -1)
        pictures.append(rounded(picture + ink * (np.array(pen) - picture)))
    assert apart(pictures) < 0.06


def test_a_rim_of_the_same_level_as_its_plate_hides_no_digit() -> None:
    pictures = []
    for sample in SAMPLES:
        ink = np.pad(enlarged(sample, 5), 70)[:, :, None] / 255
        picture = np.full((280, 280, 3), (165, 212, 210), np.float64)
        cv2.circle(picture, (140, 140), 125, (130, 0, 130), -1)
        cv2.circle(picture, (140, 140), 115, (20, 20, 20), -1)
        pictures.append(rounded(picture + ink * (np.array((200, 100, 110)) - picture)))
    assert apart(pictures) < 0.06
