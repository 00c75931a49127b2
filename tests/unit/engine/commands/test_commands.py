"""`digit-engine` as people call it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from engine.cli import main
from engine.model.reference_digits import draw_reference_digits
from engine.training.fit.naming import model_folder, next_version
from models import default_model

DATA = Path(__file__).parents[3] / "data"
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
    recognised = [
        line["name"] for line in lines(run("classify", DATA / "digits", "--json")) if line["status"] == "recognised"
    ]
    assert run("classify", *recognised).exit_code == 0
    assert run("classify", *recognised, DATA / "damaged.png").exit_code == 1


def test_classify_names_the_entries_of_a_zip() -> None:
    result = run("classify", DATA / "digits.zip", "--json")
    assert len(lines(result)) == 20
    assert all(line["name"].startswith(f"{DATA / 'digits.zip'}/") for line in lines(result))


def test_classify_shows_what_is_wrong_with_an_image() -> None:
    (line,) = lines(run("classify", DATA / "damaged.png", "--json"))
    assert line["status"] == "failed"
    assert line["error"]["code"] == "damaged-image"
    assert line["digit"] is line["confidence"] is None


def test_classify_shows_its_own_errors_and_no_warnings_of_libraries(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(picture, "JPEG")
    (tmp_path / "endless.jpg").write_bytes(picture.getvalue()[:-2])  # of what is tried to read it, libjpeg warns
    command = [sys.executable, "-m", "engine", "classify", str(tmp_path)]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "endless.jpg" in read.stdout
    assert "failed" not in read.stdout
    assert "JPEG" not in read.stderr
    refused = subprocess.run([*command, "missing"], capture_output=True, text=True, check=False)
    assert "missing" in refused.stderr


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


NASTY = os.fsdecode(b"\xff\x1b[2J\xc2\x9b31m \xe2\x80\xaegnp\n7.png")


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A picture whose name is not UTF-8 and would repaint a terminal."""
    return Path(shutil.copy(DATA / "digits/7_50021.png", tmp_path / NASTY))


def test_a_name_that_is_not_utf_8_loses_no_line_of_json(nasty: Path) -> None:
    result = run("classify", nasty, DIGITS[0], "--json")
    assert result.exit_code == 0, result.output
    assert all(line.isascii() and line.isprintable() for line in result.stdout.splitlines())
    first, second = lines(result)
    assert first["name"] == f"{nasty.parent}/\\xff\x1b[2J\x9b31m \u202egnp\n7.png"
    assert (first["digit"], second["name"]) == (7, str(DIGITS[0]))


def test_names_of_files_and_entries_do_nothing_to_a_terminal(nasty: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(DIGITS[0], "\x1b]0;owned\x07\x9b2J.png")
    shown = run("classify", nasty, tmp_path / "a.zip")
    assert shown.exit_code == 0, shown.output
    assert all(line.isprintable() for line in shown.stdout.splitlines())
    assert "owned" in shown.stdout


def test_a_name_does_nothing_to_a_terminal_that_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    shown = run("classify", DATA / "cases" / "zip_escape_in_name.zip")
    assert shown.exit_code == 0, shown.output
    without_styles = re.sub(r"\x1b\[[0-9;]*m", "", shown.stdout)
    assert all(line.isprintable() for line in without_styles.splitlines())
    assert r"\x1b[2J\x1b]0;owned\x07\x1b[31mseven.png" in without_styles


def test_a_complaint_about_a_name_does_nothing_to_a_terminal() -> None:
    shown = run("classify", NASTY)
    assert shown.exit_code == 2
    assert shown.stderr.removesuffix("\n").isprintable()


@pytest.mark.parametrize("path", [DIGITS[0], DATA / "digits.zip"], ids=["image", "archive"])
def test_classify_reads_standard_input(path: Path) -> None:
    result = CliRunner().invoke(main, ["classify", "-", "--json"], input=path.read_bytes())
    assert result.exit_code in {0, 1}
    assert [line["name"].partition("/")[0] for line in lines(result)] == ["-"] * (20 if path.suffix == ".zip" else 1)


def test_standard_input_is_read_once_only() -> None:
    assert run("classify", "-", "-").exit_code == 2


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


def test_the_tables_of_evaluate_are_in_words_and_percent(tmp_path: Path) -> None:
    shown = run("evaluate", labelled(tmp_path)).stdout
    assert "calibration error" in shown
    assert "_pct" not in shown
    assert "0.0 %" in shown


def test_evaluate_counts_a_picture_that_cannot_be_read_as_wrong(tmp_path: Path) -> None:
    shutil.copy(DATA / "damaged.png", labelled(tmp_path) / "3")
    figures = json.loads(run("evaluate", tmp_path, "--json").stdout)
    assert figures["error_pct"] == pytest.approx(100 / (len(DIGITS) + 1), abs=1e-3)


@pytest.mark.parametrize("arguments", [[], ["--images", "a"], [".", "--images", "a", "--labels", "b"]])
def test_evaluate_wants_a_folder_or_two_idx_files(arguments: list[str]) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert "either a folder, or both --images and --labels" in result.stderr


def test_import_sklearn_requires_the_option_that_trusts_the_file(tmp_path: Path) -> None:
    (tmp_path / "svm.pkl").write_bytes(b"")
    result = run("import-sklearn", tmp_path / "svm.pkl")
    assert result.exit_code == 2
    assert "--i-trust-this-file" in result.stderr


def test_reading_digits_imports_nothing_that_only_training_needs() -> None:
    of_training = {"sklearn", "skimage", "skops", "matplotlib", "joblib"}
    program = f"import sys, engine.cli; print(sorted({of_training} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.timeout(600)  # all loops are compiled
def test_classify_shows_the_progress_of_compiling_on_standard_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "classify", str(DIGITS[0])]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(2)
    )
    assert re.match(r"compiling, once: 0 of \d+\n", first.stderr)
    assert second.stderr == ""


@pytest.mark.parametrize("command", ["train", "card"])
def test_a_folder_without_digits_of_other_hands_ends_the_command_in_one_line(command: str, tmp_path: Path) -> None:
    shutil.copytree(default_model(), tmp_path / "model", ignore=shutil.ignore_patterns("*.md"))
    option, folder = ("--model", tmp_path / "model") if command == "card" else ("--out", tmp_path / "new")
    result = run(command, "--mnist", tmp_path, "--hands", tmp_path, option, folder)
    assert result.exit_code == 2
    assert "optdigits-orig.tra.gz cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_card_that_cannot_be_written_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, values in (("images-idx3", draw_reference_digits()), ("labels-idx1", np.arange(10, dtype=np.uint8))):
        kind = 0x800 + values.ndim
        head = struct.pack(f">I{values.ndim}I", kind, *values.shape)
        (tmp_path / f"train-{name}-ubyte").write_bytes(head + values.tobytes())
    result = run("card", "--mnist", tmp_path, "--out", tmp_path / "file" / "new")
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "card", "benchmark"])
def test_a_command_whose_extra_is_missing_names_it_in_one_line(command: str, tmp_path: Path) -> None:
    blocked = "dict.fromkeys(['joblib', 'matplotlib', 'scipy', 'skimage', 'sklearn', 'skops', 'threadpoolctl'])"
    program = f"import sys; sys.modules.update({blocked}); "
    program += f"from engine.cli import main; main({[command, '--mnist', str(tmp_path)]})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert "pip install 'digitstream[train]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_import_sklearn_leaves_a_model_that_is_there(tmp_path: Path) -> None:
    shutil.copytree(default_model(), tmp_path / "model")
    before = (tmp_path / "model" / "manifest.json").read_bytes()
    result = run("import-sklearn", tmp_path / "svm.pkl", "--i-trust-this-file", "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "add --overwrite" in result.stderr
    assert (tmp_path / "model" / "manifest.json").read_bytes() == before


def test_a_new_model_is_counted_up_from_the_highest_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = tmp_path / "shipped"
    _write_manifest(shipped, "1.0.8")
    assert next_version("digits", shipped) == "1.0.9"
    assert next_version("mine", shipped) == "1.0.0"
    for version in ("1.0.9", "1.0.10"):
        _write_manifest(model_folder("digits", version), version)
    assert next_version("digits", shipped) == "1.0.11"


def _write_manifest(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"name": "digits", "version": version}))
