"""`digit-engine` as people call it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli import main
from models import default_model

DATA = Path(__file__).parent.parent / "data"
DIGITS = sorted((DATA / "digits").glob("*.png"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_classify_prints_one_json_line_an_image_in_the_order_of_names() -> None:
    result = run("classify", DATA / "digits", "--json")
    assert [line["name"] for line in lines(result)] == [str(path) for path in DIGITS]
    assert [str(line["digit"]) for line in lines(result)] == [path.name[0] for path in DIGITS]
    assert set(lines(result)[0]) == {"name", "status", "digit", "confidence", "reason", "error"}


def test_classify_ends_with_zero_only_if_all_are_recognised() -> None:
    sure = [
        line["name"] for line in lines(run("classify", DATA / "digits", "--json")) if line["status"] == "recognised"
    ]
    assert run("classify", *sure).exit_code == 0
    assert run("classify", *sure, DATA / "damaged.png").exit_code == 1


def test_classify_names_the_entries_of_a_zip() -> None:
    result = run("classify", DATA / "digits.zip", "--json")
    assert len(lines(result)) == 20
    assert all(line["name"].startswith(f"{DATA / 'digits.zip'}/") for line in lines(result))


def test_classify_tells_what_is_wrong_with_an_image() -> None:
    (line,) = lines(run("classify", DATA / "damaged.png", "--json"))
    assert line["status"] == "failed"
    assert line["error"]["code"] == "damaged-image"
    assert line["digit"] is line["confidence"] is None


def test_classify_refuses_a_path_that_does_not_exist() -> None:
    result = run("classify", "nowhere.png")
    assert result.exit_code == 2
    assert "nowhere.png does not exist" in result.stderr


def test_classify_of_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    assert run("classify", tmp_path).exit_code == 1


def test_a_damaged_model_stops_with_a_sentence(tmp_path: Path) -> None:
    shutil.copytree(default_model(), tmp_path / "model")
    (tmp_path / "model" / "model.npz").write_bytes(b"")
    result = run("classify", DIGITS[0], "--model", tmp_path / "model")
    assert result.exit_code == 2
    assert "sha256" in result.stderr


def labelled(folder: Path) -> Path:
    for path in DIGITS:
        (folder / path.name[0]).mkdir(exist_ok=True)
        shutil.copy(path, folder / path.name[0])
    return folder


def test_evaluate_reads_a_folder_of_labels(tmp_path: Path) -> None:
    result = run("evaluate", labelled(tmp_path), "--json")
    figures = json.loads(result.stdout)
    assert figures["n"] == len(DIGITS)
    assert figures["error_pct"] == 0
    assert {"ece_pct", "error_at_99_coverage_pct", "unsure_pct", "error_pct_recognised"} <= set(figures)
    assert sum(map(sum, figures["confusion"])) == len(DIGITS)


def test_evaluate_counts_a_picture_that_cannot_be_read_as_wrong(tmp_path: Path) -> None:
    shutil.copy(DATA / "damaged.png", labelled(tmp_path) / "3")
    figures = json.loads(run("evaluate", tmp_path, "--json").stdout)
    assert figures["error_pct"] == pytest.approx(100 / (len(DIGITS) + 1), abs=1e-3)


@pytest.mark.parametrize("arguments", [[], ["--images", "a"], [".", "--images", "a", "--labels", "b"]])
def test_evaluate_wants_a_folder_or_two_idx_files(arguments: list[str]) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert "either a folder, or both --images and --labels" in result.stderr


def test_import_sklearn_wants_to_be_told_that_the_file_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "svm.pkl").write_bytes(b"")
    result = run("import-sklearn", tmp_path / "svm.pkl")
    assert result.exit_code == 2
    assert "--i-trust-this-file" in result.stderr


def test_reading_digits_imports_nothing_that_only_training_needs() -> None:
    program = (
        "import sys, engine.cli; print(sorted({'sklearn', 'skimage', 'matplotlib', 'joblib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
