"""A file in ONNX becomes a model folder that says what it is and how good."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx.helper import make_node, make_tensor_value_info
from typer.testing import CliRunner, Result

from engine.cli import main
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from engine.training.data.labelled import DataError
from engine.training.onnx_import.convert import Description, OnnxError, import_onnx
from tests.harness.markdown import shell_block
from tests.harness.onnx_models import DIGITS, EXPORTED, WEIGHTS, imported, network

NAMING = Description("mine", "1")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """The samples as ``LABEL/*``."""
    for path in DIGITS:
        (tmp_path / "labelled" / path.name[0]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "labelled" / path.name[0])
    return tmp_path / "labelled"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["import-onnx", *map(str, arguments)])


def test_an_exported_file_is_cut_to_its_probabilities(tmp_path: Path) -> None:
    manifest = imported(EXPORTED.read_bytes(), tmp_path).manifest
    assert manifest["onnx"] == {
        "output": "probabilities",
        "layout": "flat",
        "mean": 0.0,
        "std": 1.0,
        "gives": "probabilities",
        "labels": list(range(10)),
    }
    assert manifest["imported"]["producer"].startswith("skl2onnx")
    assert "ArrayFeatureExtractor" not in manifest["imported"]["operators"], "only the label needs it"
    assert manifest["imported"]["weights"] == 784 * 24 + 24 + 24 * 10 + 10


def test_an_output_whose_rows_do_not_sum_to_one_is_scores(tmp_path: Path) -> None:
    assert imported(network(), tmp_path).manifest["onnx"]["gives"] == "scores"


def test_without_labelled_pictures_the_confidence_is_the_models_own_and_nothing_is_unsure(tmp_path: Path) -> None:
    model = imported(EXPORTED.read_bytes(), tmp_path)
    assert model.manifest["calibrated"] is False
    assert "held_out" not in model.manifest
    readings = Reader(Classifier(model), Limits()).read([path.read_bytes() for path in DIGITS])
    assert {outcome.reading.status for (outcome,) in readings if outcome.reading} == {"recognised"}


def test_a_calibrated_model_states_its_error_of_calibration_on_pictures_that_it_was_not_fitted_to(
    tmp_path: Path, labelled: Path
) -> None:
    model = import_onnx(EXPORTED, tmp_path / "model", NAMING, labelled, 0.2)
    assert model.manifest["calibrated"] is True
    assert model.manifest["held_out"]["n"] == len(DIGITS) // 2
    assert 0 <= model.manifest["held_out"]["ece_pct"] <= 100
    assert model.manifest["temperature"] != 1


def test_the_threshold_leaves_the_wanted_share_unsure(tmp_path: Path, labelled: Path) -> None:
    model = import_onnx(EXPORTED, tmp_path / "model", NAMING, labelled, 0.2)
    listed = sorted(labelled.glob("*/*"))[::2]  # those that it was fitted to
    outcomes = Reader(Classifier(model), Limits()).read([path.read_bytes() for path in listed])
    unsure = [outcome.reading for (outcome,) in outcomes if outcome.reading and outcome.reading.status == "unsure"]
    assert len(unsure) == len(listed) * 0.2
    assert {reading.reason for reading in unsure} == {"low-confidence"}


def test_the_temperature_makes_an_overconfident_model_as_confident_as_it_is_right(
    tmp_path: Path, labelled: Path
) -> None:
    for i, path in enumerate(sorted(labelled.glob("*/*"))):
        if i % 4 in (0, 1):  # half of the labels are wrong
            wrong = labelled / str((int(path.parent.name) + 1) % 10)
            path.rename(wrong / f"z{path.name}")
    model = import_onnx(EXPORTED, tmp_path / "model", NAMING, labelled, 0)
    assert model.manifest["temperature"] > 1.5


def test_too_few_pictures_calibrate_nothing(tmp_path: Path, labelled: Path) -> None:
    for path in sorted(labelled.glob("*/*"))[19:]:
        path.unlink()
    with pytest.raises(DataError, match="19 pictures; at least 20 are needed"):
        import_onnx(EXPORTED, tmp_path / "model", NAMING, labelled)


def test_of_several_outputs_one_must_be_chosen(tmp_path: Path) -> None:
    model = network([make_node("MatMul", ["x", "w"], ["y"]), make_node("Softmax", ["y"], ["p"])])
    model.graph.output.append(make_tensor_value_info("p", 1, None))
    with pytest.raises(OnnxError, match="2 outputs of decimal numbers: choose one by --output, of y, p"):
        imported(model, tmp_path)
    assert imported(model, tmp_path, output="p").manifest["onnx"]["gives"] == "probabilities"
    with pytest.raises(OnnxError, match="no output q, but y, p"):
        imported(model, tmp_path, output="q")


def test_values_that_overflow_for_every_picture_are_a_wrong_range(tmp_path: Path) -> None:
    nodes = [make_node("MatMul", ["x", "w"], ["a"]), make_node("Exp", ["a"], ["y"])]
    with pytest.raises(OnnxError, match="not finite: --white, --mean or --std may be wrong"):
        imported(network(nodes, {"w": np.abs(WEIGHTS)}), tmp_path, white=255)


def test_the_command_writes_a_folder_that_other_commands_read(tmp_path: Path, labelled: Path) -> None:
    out = tmp_path / "model"
    made = run(EXPORTED, "--out", out, "--name", "mlp", "--version", "7", "--calibrate-on", labelled)
    assert made.exit_code == 0, made.output
    assert made.output.startswith(f"{out}: mlp 7, sha256 ")
    read = CliRunner().invoke(main, ["classify", "--model", str(out), "--json", *map(str, DIGITS)])
    digits = [json.loads(line)["digit"] for line in read.stdout.splitlines()]
    assert np.mean([digit == int(path.name[0]) for digit, path in zip(digits, DIGITS, strict=True)]) >= 0.9


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--labels", "012345678"], "labels"),
        (["--labels", "0123456788"], "labels [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]"),
        (["--labels", "zero"], "0123456789"),
        (["--output", "label"], "not allowed: ArgMax, ai.onnx.ml.ArrayFeatureExtractor"),
        (["--std", "0"], "no range of values"),
        (["--white", "nan"], "not finite"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, arguments: list[str], named: str) -> None:
    refused = run(EXPORTED, "--out", tmp_path / "model", *arguments)
    assert refused.exit_code == 2
    assert named in refused.output
    assert not (tmp_path / "model").exists()


def test_the_command_leaves_a_model_that_is_there(tmp_path: Path) -> None:
    assert run(EXPORTED, "--out", tmp_path).exit_code == 0
    again = run(EXPORTED, "--out", tmp_path)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_the_commands_of_the_page_work_as_they_stand(tmp_path: Path, labelled: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "model.md").read_text(encoding="utf-8")
    shutil.copy(EXPORTED, tmp_path / "model.onnx")
    assert labelled == tmp_path / "labelled"
    program = f'set -e\ndigit-engine() {{ {sys.executable} -m engine "$@"; }}\n' + shell_block(page, "A model in ONNX")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, env=environment, capture_output=True, check=False)  # noqa: S607  # of the system
    assert done.returncode == 0, done.stderr
    assert b"models/mine: mine 1, sha256 " in done.stdout
    assert b"calibration error" in done.stdout


def test_without_the_extra_the_command_names_it_in_one_line(tmp_path: Path) -> None:
    program = "import sys; sys.modules['onnx'] = None; from engine.cli import main; "
    program += f"main({['import-onnx', str(EXPORTED), '--out', str(tmp_path / 'model')]})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'digitstream[onnx]'" in done.stderr


def test_the_command_names_a_file_that_is_missing(tmp_path: Path) -> None:
    refused = run(tmp_path / "none.onnx", "--out", tmp_path / "model")
    assert refused.exit_code == 2
    assert "none.onnx" in refused.output
