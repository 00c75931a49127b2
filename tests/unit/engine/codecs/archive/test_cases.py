"""Archives that honest packers wrote and that were once refused or misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model

CASES = Path(__file__).parents[4] / "data" / "cases"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


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
