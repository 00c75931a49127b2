"""Imported models: the same predictions and probabilities as scikit-learn's, on digits that it has not seen."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from engine.codecs.decode import Picture
from engine.model.classifier import Classifier
from engine.model.frame import Frame
from engine.model.imported.block_hog import BlockHog
from engine.model.imported.features import EngineHog, Features, Pixels
from engine.model.imported.linear_machine import LinearMachine
from engine.model.svm import Floats
from engine.training.sklearn_import.run import import_sklearn
from tests.harness.trained import FRAME, NAMING, UNSEEN, Digits, decided, digits, imported, predictor, trained


def pickled(estimator: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(estimator))


def framed(of: Digits, frame: Frame) -> Floats:
    return frame.prepare([Picture(picture) for picture in of.pictures]).digits


def scaled(*steps: Any) -> Any:
    return make_pipeline(StandardScaler(), *steps)


def reduced(*steps: Any) -> Any:
    return scaled(PCA(30, random_state=0), *steps)


def linear_svc() -> LinearSVC:
    return LinearSVC(max_iter=100, random_state=0)


def sgd(loss: str) -> SGDClassifier:
    return SGDClassifier(loss, random_state=0)


def calibrated(estimator: Any, **options: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(estimator, **{"cv": 3, **options})


MODELS: dict[str, Callable[[], Any]] = {
    "SVC": lambda: SVC(C=10),
    "SVC, linear": lambda: SVC(kernel="linear"),
    "SVC, poly": lambda: SVC(kernel="poly", degree=2, coef0=1),
    "SVC, sigmoid": lambda: scaled(SVC(kernel="sigmoid", gamma=1e-4)),
    "SVC with probabilities": lambda: SVC(probability=True, random_state=0),
    "SVC, linear, with probabilities": lambda: SVC(kernel="linear", probability=True, random_state=0),
    "SVC after StandardScaler, with probabilities": lambda: scaled(SVC(probability=True, random_state=0)),
    "SVC after PCA": lambda: make_pipeline(PCA(20), SVC()),
    "SVC after PCA, whitened": lambda: scaled(PCA(20, whiten=True), SVC()),
    "SVC, linear, after both": lambda: reduced(SVC(kernel="linear")),
    "LinearSVC": linear_svc,
    "LinearSVC without intercept": lambda: LinearSVC(fit_intercept=False, max_iter=100),
    "LinearSVC, Crammer and Singer": lambda: reduced(LinearSVC(multi_class="crammer_singer")),
    "LinearSVC after StandardScaler": lambda: scaled(linear_svc()),
    "LinearSVC after means only": lambda: make_pipeline(StandardScaler(with_std=False), PCA(30), linear_svc()),
    "LinearSVC after scales only": lambda: make_pipeline(StandardScaler(with_mean=False), linear_svc()),
    "SGDClassifier, hinge": lambda: scaled(sgd("hinge")),
    "SGDClassifier, log_loss": lambda: scaled(sgd("log_loss")),
    "SGDClassifier, modified_huber": lambda: reduced(sgd("modified_huber")),
    "SGDClassifier, averaged, of raw pixels": lambda: SGDClassifier(
        "log_loss", average=True, max_iter=10, random_state=0
    ),
    "LogisticRegression": lambda: LogisticRegression(max_iter=20),
    "LogisticRegression after both": lambda: reduced(LogisticRegression()),
    "LogisticRegression after both, twice": lambda: scaled(
        make_pipeline(PCA(40), StandardScaler()), LogisticRegression()
    ),
    "LogisticRegression in a pipeline in a pipeline": lambda: make_pipeline(
        "passthrough", reduced(LogisticRegression())
    ),
    "LogisticRegression, one against all others": lambda: OneVsRestClassifier(reduced(LogisticRegression())),
    "LinearSVC, one against all others": lambda: scaled(OneVsRestClassifier(linear_svc())),
    "LinearSVC calibrated, sigmoid": lambda: calibrated(scaled(linear_svc())),
    "LinearSVC calibrated, sigmoid, no ensemble": lambda: calibrated(scaled(linear_svc()), ensemble=False),
    "LinearSVC calibrated, isotonic": lambda: scaled(calibrated(linear_svc(), method="isotonic")),
    "LinearSVC calibrated, isotonic, no ensemble": lambda: calibrated(linear_svc(), method="isotonic", ensemble=False),
    "LinearSVC calibrated when it was fitted": lambda: calibrated(FrozenEstimator(trained(reduced(linear_svc())))),
    "SGDClassifier calibrated, isotonic": lambda: reduced(calibrated(sgd("hinge"), method="isotonic", cv=5)),
    "LogisticRegression calibrated, isotonic": lambda: calibrated(reduced(LogisticRegression()), method="isotonic"),
    "LogisticRegression calibrated, temperature": lambda: calibrated(
        reduced(LogisticRegression()), method="temperature"
    ),
    "SVC calibrated, sigmoid": lambda: calibrated(scaled(PCA(0.8), SVC())),
    "SVC calibrated, isotonic, no ensemble": lambda: calibrated(SVC(), method="isotonic", ensemble=False),
    "SVC, linear, calibrated": lambda: calibrated(reduced(SVC(kernel="linear"))),
}


@pytest.mark.slow  # trains all of them
@pytest.mark.parametrize("name", MODELS)
def test_predictions_and_probabilities_equal_those_of_scikit_learn(name: str, tmp_path: Path) -> None:
    estimator = trained(MODELS[name]())
    classifier = imported(estimator, tmp_path)
    _, unseen = digits()
    decision = decided(classifier, unseen.pictures)
    assert len(decision.labels) == UNSEEN
    np.testing.assert_array_equal(decision.labels, estimator.predict(unseen.pixels))
    assert classifier.manifest["calibrated"] is hasattr(estimator, "predict_proba")
    if classifier.manifest["calibrated"]:
        np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(unseen.pixels), atol=1e-6)


@pytest.mark.parametrize("features", [BlockHog(9, 7, 2), EngineHog()], ids=["skimage-hog", "engine-hog"])
def test_models_of_other_features_predict_the_same(features: Features, tmp_path: Path) -> None:
    frame = Frame(white=1, canvas=True) if isinstance(features, EngineHog) else FRAME
    seen, unseen = (features.describe(frame.to_training_range(framed(each, frame))) for each in digits())
    estimator = trained(scaled(LogisticRegression()), features=seen)
    decision = decided(imported(estimator, tmp_path, frame, features), digits()[1].pictures)
    np.testing.assert_array_equal(decision.labels, estimator.predict(unseen))
    np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(unseen), atol=1e-6)


@pytest.mark.parametrize("ink", ["bright", "dark"])
@pytest.mark.parametrize("white", [1, 255])
def test_models_of_other_training_pictures_predict_the_same(ink: str, white: int, tmp_path: Path) -> None:
    seen, unseen = ((each.pixels if ink == "bright" else 255 - each.pixels) * (white / 255) for each in digits())
    estimator = trained(scaled(LogisticRegression(max_iter=20)), features=seen)
    frame = Frame(white=white, bright_ink=ink == "bright")
    decision = decided(imported(estimator, tmp_path, frame), digits()[1].pictures)
    np.testing.assert_array_equal(decision.labels, estimator.predict(unseen))
    np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(unseen), atol=1e-6)


@pytest.mark.parametrize("save", [pickled, joblib.dump], ids=["pickle", "joblib"])
def test_a_file_of_pickle_or_joblib_predicts_the_same(save: Callable[[Any, Path], object], tmp_path: Path) -> None:
    estimator = trained(reduced(LogisticRegression()))
    save(estimator, tmp_path / "model.pkl")
    import_sklearn(tmp_path / "model.pkl", tmp_path / "model", FRAME, Pixels(), NAMING, trusted=True)
    decision = decided(Classifier.load(tmp_path / "model"), digits()[1].pictures)
    np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(digits()[1].pixels), atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        digits()[0].labels.astype(str),
        digits()[0].labels.astype(object).astype(str).astype(object),
        digits()[0].labels.astype(np.float64),
    ],
    ids=["text", "objects", "floats"],
)
def test_digits_may_be_named_by_text_or_by_floats(labels: NDArray[Any], tmp_path: Path) -> None:
    estimator = trained(calibrated(reduced(linear_svc())), labels)
    decision = decided(imported(estimator, tmp_path), digits()[1].pictures)
    np.testing.assert_array_equal(decision.labels, estimator.predict(digits()[1].pixels).astype(float).astype(int))
    np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(digits()[1].pixels), atol=1e-6)


def test_a_model_that_was_trained_in_single_precision_predicts_the_same(tmp_path: Path) -> None:
    seen, unseen = digits()
    estimator = trained(reduced(LogisticRegression()), features=seen.pixels.astype(np.float32))
    assert estimator[-1].coef_.dtype == np.float32
    decision = decided(imported(estimator, tmp_path), unseen.pictures)
    np.testing.assert_array_equal(decision.labels, estimator.predict(unseen.pixels))
    np.testing.assert_allclose(decision.probabilities, estimator.predict_proba(unseen.pixels), atol=1e-5)


def test_sparse_coefficients_and_sparse_support_vectors_predict_the_same(tmp_path: Path) -> None:
    seen, unseen = digits()
    linear = trained(LogisticRegression(max_iter=20)).sparsify()
    vectors = trained(SVC(), features=scipy.sparse.csr_matrix(seen.pixels))
    for estimator in (linear, vectors):
        decision = decided(imported(estimator, tmp_path), unseen.pictures)
        expected = estimator.predict(scipy.sparse.csr_matrix(unseen.pixels))
        np.testing.assert_array_equal(decision.labels, expected)


def test_a_logistic_regression_of_an_old_version_has_the_probabilities_of_that_version(tmp_path: Path) -> None:
    """One against all others: a logistic function of each score, divided by their sum."""
    estimator = trained(reduced(LogisticRegression()))
    estimator[-1].multi_class = "ovr"
    classifier = imported(estimator, tmp_path)
    expected = 1 / (1 + np.exp(-estimator.decision_function(digits()[1].pixels)))
    decision = decided(classifier, digits()[1].pictures)
    np.testing.assert_allclose(decision.probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_the_confidence_of_scores_without_probabilities_is_their_softmax(tmp_path: Path) -> None:
    estimator = trained(reduced(linear_svc()))
    powers = np.exp(estimator.decision_function(digits()[1].pixels))
    decision = decided(imported(estimator, tmp_path), digits()[1].pictures)
    np.testing.assert_allclose(decision.probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_linear_classifier_takes_the_steps_before_it_into_its_weights(tmp_path: Path) -> None:
    (member,) = predictor(imported(trained(reduced(SVC(kernel="linear"))), tmp_path)).members
    assert isinstance(member.machine, LinearMachine)
    assert member.machine.weights.shape == (28 * 28, 45)
