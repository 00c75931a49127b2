"""Folders of imported models: what is stored, what is read back, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from engine.model import store
from engine.model.classifier import Classifier
from engine.model.files import ModelError
from engine.model.imported import predictor as imported_kind
from engine.model.imported.block_hog import BlockHog
from engine.model.imported.predictor import from_arrays
from engine.model.store import Thresholds
from tests.harness.trained import FRAME, decided, digits, imported, predictor, trained

Arrays = dict[str, NDArray[Any]]


def quick() -> LogisticRegression:
    return LogisticRegression(max_iter=3)


def test_the_manifest_says_what_was_imported(tmp_path: Path) -> None:
    estimator = make_pipeline(StandardScaler(), CalibratedClassifierCV(quick(), cv=2))
    manifest = imported(trained(estimator), tmp_path).manifest
    assert manifest["kind"] == "linear"
    assert manifest["features"] == "pixels"
    assert manifest["frame"] == {"side_px": 28, "bright_ink": True, "white": 255, "canvas": False}
    assert manifest["members"] == [{"confidence": "sigmoid"}] * 2
    assert manifest["by_probability"] is True
    assert manifest["calibrated"] is True
    assert manifest["imported"]["file"] == "model.skops"


def test_a_model_without_probabilities_says_that_it_is_not_calibrated(tmp_path: Path) -> None:
    assert imported(trained(make_pipeline(PCA(9), SVC())), tmp_path).manifest["calibrated"] is False


def test_pictures_of_the_other_polarity_are_read_alike(tmp_path: Path) -> None:
    classifier = imported(trained(quick()), tmp_path)
    pictures = digits()[1].pictures
    np.testing.assert_array_equal(decided(classifier, pictures).labels, decided(classifier, 255 - pictures).labels)


@pytest.mark.parametrize(
    "estimator",
    [SVC(), make_pipeline(PCA(20), CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2))],
    ids=["SVC", "calibrated LinearSVC"],
)
def test_an_imported_model_is_served_without_what_trained_it(estimator: Any, tmp_path: Path) -> None:
    classifier = imported(trained(estimator), tmp_path)
    first = digits()[1].pictures[:1]
    cv2.imwrite(str(tmp_path / "digit.png"), first[0])
    program = """
import sys
sys.modules.update(dict.fromkeys(["joblib", "scipy", "skimage", "sklearn", "skops"]))
from pathlib import Path
from engine.model.classifier import Classifier
from engine.limits import Limits
from engine.reader import Reader
model, image = map(Path, sys.argv[1:])
((outcome,),) = Reader(Classifier.load(model), Limits()).read([image.read_bytes()])
print(outcome.reading.digit)
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "model"), str(tmp_path / "digit.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == f"{decided(classifier, first).labels[0]}\n"


@pytest.mark.filterwarnings("ignore:.*probability.*:FutureWarning")
@pytest.mark.parametrize("probability", [False, True])
def test_a_folder_of_version_0_1_0_is_read(tmp_path: Path, *, probability: bool) -> None:
    hog = BlockHog(9, 7, 2)
    described = hog.describe(FRAME.to_training_range((digits()[0].pictures / 255).astype(np.float32)))
    estimator = trained(SVC(probability=probability, random_state=0), features=described)
    new = imported(estimator, tmp_path, features=hog)
    arrays = imported_kind.to_arrays(predictor(new))
    about = {"kind": "svc", "name": "old", "version": "1", "frame": new.manifest["frame"], "hog": new.manifest["hog"]}
    about["kernel"] = new.manifest["members"][0]["kernel"]
    if not probability:
        arrays["pairwise"] = np.zeros((2, 0))
    arrays["temperature"] = np.asarray(0.2)
    store.save(tmp_path / "old", arrays, Thresholds(0, 0), about)
    old, now = (decided(each, digits()[1].pictures) for each in (Classifier.load(tmp_path / "old"), new))
    np.testing.assert_array_equal(old.labels, now.labels)
    np.testing.assert_array_equal(old.probabilities, now.probabilities)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arrays, _: arrays.pop("bias.1"), "bias"),
        (lambda arrays, _: arrays.update({"bias.1": np.zeros(9)}), "bias must have shape"),
        (lambda arrays, _: arrays.update({"weights.0": np.zeros((784, 7))}), "weights must have 10 or 45 columns"),
        (lambda arrays, _: arrays.update({"weights.0": np.zeros((784, 10), np.float32)}), "weights.0 must be float64"),
        (lambda arrays, _: arrays.update({"slopes.1": np.zeros(3)}), "slopes must have shape"),
        (lambda _, about: about["members"].pop(), "slopes"),
        (lambda _, about: about.update(members=[]), "0 members cannot decide"),
        (lambda _, about: about.update(members=7), "int"),
        (lambda _, about: about.update(by_probability=False), "2 members cannot decide by their scores"),
        (lambda _, about: about["members"][0].update(confidence="certain"), "certain"),
        (lambda _, about: about["members"][0].update(confidence="steps"), "inputs"),
        (lambda _, about: about.update(kind="svc"), "kernel"),
        (lambda _, about: about.update(features="wavelets"), "features must be one of skimage-hog, pixels, engine-hog"),
        (lambda _, about: about.update(features="engine-hog"), "engine-hog describes"),
        (lambda _, about: about["frame"].update(side_px=29), "trained on 784 features, but the pictures have 841"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    change: Callable[[Arrays, dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    model = imported(trained(CalibratedClassifierCV(quick(), cv=2)), tmp_path)
    arrays, about = imported_kind.to_arrays(predictor(model)), imported_kind.about(predictor(model))
    from_arrays(arrays, about)
    change(arrays, about)
    with pytest.raises((KeyError, TypeError, ValueError), match=says):
        from_arrays(arrays, about)


def test_a_damaged_array_is_noticed_when_the_model_is_loaded(tmp_path: Path) -> None:
    content = bytearray((imported_folder := _folder(tmp_path)).joinpath("model.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (imported_folder / "model.npz").write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        Classifier.load(imported_folder)


def _folder(tmp_path: Path) -> Path:
    imported(trained(quick()), tmp_path)
    return tmp_path / "model"
