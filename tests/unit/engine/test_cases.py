"""Pictures and archives of honest senders that were once refused or misread: from bytes to readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model

DATA = Path(__file__).parents[2] / "data"
CASES = DATA / "cases"
SCENES = sorted((DATA / "scenes").iterdir())


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


@pytest.mark.parametrize(
    ("file", "digit"),
    [
        ("one_with_upstroke.png", 1),
        ("one_with_upstroke_28px.png", 1),
        ("one_with_foot.png", 1),
        ("jpeg_no_eoi.jpg", 5),
        ("jpeg_stray_bytes.jpg", 5),
    ],
)
def test_a_digit_of_any_hand_is_recognised(reader: Reader, file: str, digit: int) -> None:
    _assert_recognised(reader, CASES / file, digit)


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.name)
def test_a_digit_in_a_scene_is_recognised(reader: Reader, path: Path) -> None:
    _assert_recognised(reader, path, int(path.stem[-1]))


@pytest.mark.parametrize("file", ["filled_square.png", "blank.png"])
def test_what_is_no_digit_is_unsure_and_promises_nothing(reader: Reader, file: str) -> None:
    ((outcome,),) = reader.read([(CASES / file).read_bytes()])
    assert outcome.reading is not None
    assert outcome.reading.reason is not None
    assert outcome.reading.confidence < 0.8


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("zip_of_paint_bmp.zip", [("three.bmp", 3)]),
        ("zip_names_infozip_linux.zip", [("Größe_7.png", 7), ("数字七.png", 7)]),
        ("zip_appledouble_beside.zip", [("digits/seven.png", 7)]),
        ("zip_escape_in_name.zip", [("\x1b[2J\x1b]0;owned\x07\x1b[31mseven.png", 7)]),
    ],
)
def test_every_image_is_read_and_has_its_name(reader: Reader, file: str, expected: list[tuple[str, int]]) -> None:
    (outcomes,) = reader.read([(CASES / file).read_bytes()])
    assert [(outcome.name, outcome.reading and outcome.reading.digit) for outcome in outcomes] == expected


def _assert_recognised(reader: Reader, path: Path, digit: int) -> None:
    ((outcome,),) = reader.read([path.read_bytes()])
    assert outcome.reading is not None
    assert (outcome.reading.digit, outcome.reading.reason) == (digit, None)
