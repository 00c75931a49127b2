"""Imported machines: the same predictions as scikit-learn's, without scikit-learn."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.feature import hog as skimage_hog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from engine.codecs.decode import Picture
from engine.model.block_hog import BlockHog
from engine.model.classifier import Classifier
from engine.model.svc_frame import Frame
from engine.training.fit.sklearn_import import Naming, SklearnError, import_sklearn

DIGITS = sorted((Path(__file__).parents[3] / "data" / "digits").glob("*.png"))
HOG = BlockHog(orientations=9, pixels_per_cell=7, cells_per_block=2)
FRAME = Frame(white=255)
NAMING = Naming("mine", "1")


def pictures() -> NDArray[np.uint8]:
    return np.array([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in DIGITS])


def described(images: NDArray[Any], hog: BlockHog = HOG) -> NDArray[np.float64]:
    return np.array(
        [
            skimage_hog(
                image,
                hog.orientations,
                (hog.pixels_per_cell,) * 2,
                (hog.cells_per_block,) * 2,
                block_norm=hog.block_norm,
                transform_sqrt=hog.transform_sqrt,
            )
            for image in images
        ]
    )


def noisy(images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """More pictures than the few that lie in the repository."""
    noise = np.random.default_rng(seed).normal(0, 60, (10, *images.shape))
    return np.clip(images + noise, 0, 255).astype(np.uint8).reshape(-1, 28, 28)


def trained(**options: Any) -> SVC:
    labels = [int(path.name[0]) for path in DIGITS]
    return SVC(**options).fit(described(noisy(pictures(), 1)), labels * 10)


def imported(machine: Any, folder: Path, frame: Frame = FRAME, hog: BlockHog = HOG) -> Classifier:
    (folder / "svm.pkl").write_bytes(pickle.dumps(machine))
    import_sklearn(folder / "svm.pkl", folder / "model", frame, hog, NAMING)
    return Classifier.load(folder / "model")


@pytest.mark.parametrize(
    "hog",
    [
        HOG,
        BlockHog(),
        BlockHog(8, 4, 2, "L1"),
        BlockHog(9, 5, 3, "L1-sqrt"),
        BlockHog(12, 7, 1, "L2", transform_sqrt=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("white", [1, 255])
def test_features_equal_those_of_scikit_image(hog: BlockHog, white: int) -> None:
    images = pictures().astype(np.float64) * (white / 255)
    np.testing.assert_allclose(hog.describe(images), described(images, hog), atol=1e-6)


@pytest.mark.slow  # trains a machine with scikit-learn
@pytest.mark.parametrize(
    "options",
    [{"C": 10, "gamma": "scale"}, {"kernel": "linear"}, {"kernel": "poly", "degree": 2}, {"kernel": "sigmoid"}],
    ids=str,
)
def test_predictions_equal_those_of_scikit_learn(tmp_path: Path, options: dict[str, Any]) -> None:
    machine = trained(**options)
    classifier = imported(machine, tmp_path)
    unseen = noisy(pictures(), 2)
    decision = classifier.decide(classifier.prepare([Picture(image) for image in unseen]))
    np.testing.assert_array_equal(decision.labels, machine.predict(described(unseen)))


@pytest.mark.slow  # trains a machine with scikit-learn
@pytest.mark.filterwarnings("ignore:.*probability.*:FutureWarning")
def test_probabilities_equal_those_of_scikit_learn_if_the_model_has_them(tmp_path: Path) -> None:
    machine = trained(probability=True, random_state=0)
    classifier = imported(machine, tmp_path)
    unseen = noisy(pictures(), 3)
    decision = classifier.decide(classifier.prepare([Picture(image) for image in unseen]))
    np.testing.assert_allclose(decision.probabilities, machine.predict_proba(described(unseen)), atol=1e-5)


def test_a_model_without_probabilities_says_that_it_is_not_calibrated(tmp_path: Path) -> None:
    manifest = imported(trained(), tmp_path).manifest
    assert manifest["calibrated"] is False
    assert manifest["hog"]["pixels_per_cell"] == 7
    assert manifest["frame"] == {"side_px": 28, "bright_ink": True, "white": 255, "canvas": False}


def test_pictures_of_the_other_polarity_are_read_alike(tmp_path: Path) -> None:
    classifier = imported(trained(), tmp_path)
    bright, dark = ([Picture(image) for image in images] for images in (pictures(), 255 - pictures()))
    np.testing.assert_array_equal(
        classifier.decide(classifier.prepare(bright)).labels, classifier.decide(classifier.prepare(dark)).labels
    )


def test_an_imported_model_is_served_without_scikit_learn_and_scikit_image(tmp_path: Path) -> None:
    imported(trained(), tmp_path)
    program = """
import sys
from pathlib import Path
from engine.model.classifier import Classifier
from engine.limits import Limits
from engine.reader import Reader
model, image = map(Path, sys.argv[1:])
((outcome,),) = Reader(Classifier.load(model), Limits()).read([image.read_bytes()])
print(outcome.reading.digit, sorted({"sklearn", "skimage", "joblib"} & sys.modules.keys()))
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "model"), str(DIGITS[0])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == f"{DIGITS[0].name[0]} []\n"


def test_a_file_written_by_joblib_and_a_pipeline_of_one_step_are_taken(tmp_path: Path) -> None:
    joblib.dump(make_pipeline(trained()), tmp_path / "svm.joblib")
    import_sklearn(tmp_path / "svm.joblib", tmp_path / "model", FRAME, HOG, NAMING)
    assert Classifier.load(tmp_path / "model").info.name == "mine"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no pickle", "cannot be unpickled"),
        (pickle.dumps({"a": 1}), "holds a dict"),
        (pickle.dumps(LogisticRegression()), "holds a LogisticRegression"),
        (pickle.dumps(SVC()), "not fitted"),
        (pickle.dumps(SVC().fit([[0], [1]], [0, 1])), "the digits 0 to 9 are needed"),
    ],
)
def test_what_is_no_machine_for_ten_digits_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "svm.pkl").write_bytes(content)
    with pytest.raises(SklearnError, match=says):
        import_sklearn(tmp_path / "svm.pkl", tmp_path / "model", FRAME, HOG, NAMING)


def test_options_that_do_not_fit_the_machine_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SklearnError, match="support must have shape"):
        imported(trained(), tmp_path, hog=BlockHog())
