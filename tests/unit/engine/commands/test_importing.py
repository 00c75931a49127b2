"""`digit-engine import-sklearn`: from a saved model to digits that are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from typer.testing import CliRunner, Result

from engine.cli import main
from engine.codecs.decode import Picture
from engine.model.frame import Frame
from engine.model.imported.block_hog import BlockHog
from engine.model.imported.features import EngineHog, Features, Pixels
from tests.harness.trained import digits, trained

MODEL_PAGE = Path(__file__).parents[4] / "docs" / "model.md"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("features", "options"),
    [
        (Pixels(), ["--features", "pixels"]),
        (BlockHog(9, 7, 2), ["--pixels-per-cell", 7, "--cells-per-block", 2]),
        (EngineHog(), ["--features", "engine-hog", "--canvas"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_saved_by_skops_is_imported_and_reads_digits(
    features: Features, options: list[Any], tmp_path: Path
) -> None:
    frame = Frame(white=1, canvas=True) if isinstance(features, EngineHog) else Frame(white=255)
    pictures = [Picture(each) for each in digits()[0].pictures]
    described = features.describe(frame.to_training_range(frame.prepare(pictures).digits))
    estimator = trained(make_pipeline(StandardScaler(), LinearSVC(max_iter=50)), features=described)
    skops.io.dump(estimator, tmp_path / "digits.skops")
    result = run("import-sklearn", tmp_path / "digits.skops", *options, "--out", tmp_path / "model")
    assert result.exit_code == 0, result.stderr
    assert ": imported-linear 1, sha256 " in result.stdout
    cv2.imwrite(str(tmp_path / "digit.png"), digits()[1].pictures[0])
    read = run("classify", "--model", tmp_path / "model", tmp_path / "digit.png", "--json")
    unseen = frame.prepare([Picture(digits()[1].pictures[0])]).digits
    expected = estimator.predict(features.describe(frame.to_training_range(unseen)))
    assert json.loads(read.stdout)["digit"] == expected[0]


@pytest.mark.filterwarnings("ignore:.*probability.*:FutureWarning")
def test_the_commands_of_the_page_about_models_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hog = BlockHog(pixels_per_cell=7, cells_per_block=2)
    described = hog.describe(digits()[0].pictures.astype(np.float64))
    skops.io.dump(trained(LinearSVC(max_iter=20)), "digits.skops")
    joblib.dump(trained(SVC(), features=described), "svm.pkl")
    cv2.imwrite("photo.jpg", digits()[1].pictures[0])
    commands = re.findall(r"^\$ digit-engine (.*models/mine.*)$", MODEL_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    imports = [command for command in commands if command.startswith("import-sklearn")]
    (reads,) = set(commands) - set(imports)
    assert len(imports) == 2
    for command in imports:
        made = run(*command.split(), "--overwrite")
        assert made.exit_code == 0, made.stderr
        assert run(*reads.split()).exit_code == 0


def test_a_model_that_cannot_be_imported_ends_the_command_in_one_line(tmp_path: Path) -> None:
    skops.io.dump(trained(RidgeClassifier()), tmp_path / "digits.skops")
    result = run("import-sklearn", tmp_path / "digits.skops", "--features", "pixels", "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "the file has a RidgeClassifier; supported are SVC, LinearSVC, SGDClassifier" in result.stderr
    assert result.stderr.count("\n") == 1
