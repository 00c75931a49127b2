"""`digit-engine reference`: another manifest, the same arrays."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import main
from engine.model.files import ModelFiles
from engine.model.reference import UNSURE, reference_of
from engine.training.fit import reference
from models import default_model
from tests.harness.images import drawn_digits


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, digit in enumerate(drawn_digits(30)):
        (folder / f"{number}.png").write_bytes(digit)
    (folder / "readme.txt").write_text("no picture")
    return folder


def test_a_model_gets_a_reference_of_pictures_and_keeps_its_arrays(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "FEWEST", 30)
    out = tmp_path / "made"
    arguments = ["reference", str(default_model()), str(pictures), "--out", str(out), "--version", "9.1"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    made, before = ModelFiles.read(out), ModelFiles.read(default_model())
    assert made.info.version == "9.1"
    assert made.arrays_npz == before.arrays_npz
    found = reference_of(made.manifest)
    assert found is not None
    assert sum(found.digits) == 30
    assert found.digits[:UNSURE] != (0,) * UNSURE
    assert {**made.manifest, "reference": 0, "version": 0} == {**before.manifest, "reference": 0, "version": 0}
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "add --overwrite" in again.output.replace("\n", " ")


def test_too_few_pictures_are_refused_and_nothing_is_written(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    done = CliRunner().invoke(main, ["reference", str(default_model()), str(pictures), "--out", str(out)])
    assert done.exit_code == 2
    assert "30 pictures are too few" in done.output.replace("\n", " ")
    assert not out.exists()


def test_either_pictures_or_mnist_must_be_given() -> None:
    done = CliRunner().invoke(main, ["reference", str(default_model()), "--overwrite"])
    assert done.exit_code == 2
