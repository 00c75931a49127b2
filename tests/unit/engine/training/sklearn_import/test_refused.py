"""Models that cannot be imported are refused in one line, which says what is wrong and what is supported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC

from engine.model.frame import Frame
from engine.model.imported.block_hog import BlockHog
from engine.model.imported.features import EngineHog
from engine.training.sklearn_import.errors import SUPPORTED, SklearnError
from tests.harness.trained import digits, imported, trained


def quick() -> LogisticRegression:
    return LogisticRegression(max_iter=3)


def changed(estimator: Any, name: str, value: Any) -> Any:
    setattr(estimator, name, value)
    return estimator


def with_nan() -> Any:
    estimator = trained(quick())
    estimator.coef_[3, 100] = np.nan
    return estimator


def fitted_to_another_step() -> Any:
    estimator = trained(make_pipeline(StandardScaler(), quick()))
    return changed(estimator[-1], "coef_", np.zeros((10, 5))) and estimator


def without_a_digit() -> Any:
    seen, _ = digits()
    some = seen.labels != 8
    return SVC().fit(seen.pixels[some], seen.labels[some])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: {"model": SVC()}, f"the file has a dict; {SUPPORTED}"),
        (lambda: trained(RidgeClassifier()), f"the file has a RidgeClassifier; {SUPPORTED}"),
        (lambda: trained(make_pipeline(MinMaxScaler(), quick())), f"has the step MinMaxScaler; {SUPPORTED}"),
        (
            lambda: trained(make_pipeline(make_pipeline(StandardScaler(), MinMaxScaler()), quick())),
            "has the step MinMaxScaler",
        ),
        (lambda: trained(make_pipeline(StandardScaler(), "passthrough")), "the file has a str"),
        (lambda: trained(OneVsRestClassifier(SGDClassifier(max_iter=5))), "OneVsRestClassifier of SGDClassifier"),
        (
            lambda: trained(CalibratedClassifierCV(CalibratedClassifierCV(quick(), cv=2), cv=2)),
            "CalibratedClassifierCV in another one",
        ),
        (lambda: trained(CalibratedClassifierCV(RidgeClassifier(), cv=2)), "the file has a RidgeClassifier"),
        (
            lambda: trained(CalibratedClassifierCV(SVC(decision_function_shape="ovo"), cv=2)),
            "decision_function_shape='ovo'; 'ovr' is supported",
        ),
        (SVC, "not fitted"),
        (lambda: make_pipeline(StandardScaler(), LinearSVC()), "not fitted"),
        (lambda: CalibratedClassifierCV(LinearSVC()), "not fitted"),
        (lambda: SVC().fit([[0], [1]], [0, 1]), "has the classes 0, 1; the digits 0 to 9 are needed"),
        (without_a_digit, "has the classes 0, 1, 2, 3, 4, 5, 6, 7, 9; the digits 0 to 9 are needed"),
        (lambda: trained(quick(), digits()[0].labels + 1), "has the classes 1, 2, 3"),
        (lambda: trained(SVC(break_ties=True)), "break_ties=True"),
        (lambda: trained(changed(SVC(), "gamma", 0.1), features=digits()[0].pixels[:, :9]), "trained on 9 features"),
        (with_nan, "coef_ of the LogisticRegression has a value that is not finite"),
        (lambda: changed(trained(quick()), "intercept_", np.zeros(7)), "intercept_ has (7,)"),
        (lambda: changed(trained(quick()), "coef_", np.zeros((3, 784))), "coef_ has shape (3, 784)"),
        (lambda: changed(trained(quick()), "coef_", np.zeros(10)), "coef_ does not fit ten digits"),
        (fitted_to_another_step, "the steps before have 784 outputs, but coef_ has (10, 5)"),
        (lambda: changed(trained(SVC()), "dual_coef_", np.zeros((9, 3))), "duals must have shape"),
    ],
)
def test_what_cannot_be_imported_is_refused_by_its_name(made: Callable[[], Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(SklearnError) as raised:
        imported(made(), tmp_path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


def test_a_kernel_of_the_users_own_is_refused(tmp_path: Path) -> None:
    estimator = changed(trained(SVC()), "kernel", "precomputed")
    with pytest.raises(SklearnError, match="kernel 'precomputed'; supported are linear, poly, rbf, sigmoid"):
        imported(estimator, tmp_path)


def test_a_machine_that_scikit_learn_reads_otherwise_is_refused(tmp_path: Path) -> None:
    """As a file of another version may be, whose fields mean something else."""
    estimator = trained(CalibratedClassifierCV(quick(), cv=2))
    estimator.calibrated_classifiers_[0].estimator.decision_function = None
    with pytest.raises(SklearnError, match="the installed scikit-learn cannot predict with it"):
        imported(estimator, tmp_path)


@pytest.mark.parametrize(
    ("features", "frame", "says"),
    [
        (BlockHog(), Frame(white=255), "trained on 784 features, but the pictures have 81"),
        (EngineHog(), Frame(white=255), "engine-hog describes pictures with bright ink whose brightest pixel is 1"),
        (EngineHog(), Frame(side_px=20, white=1), "engine-hog describes pictures of 28 px, not 20"),
        (None, Frame(side_px=20, white=255), "trained on 784 features, but the pictures have 400"),
    ],
)
def test_features_that_do_not_fit_the_model_are_refused(features: Any, frame: Frame, says: str, tmp_path: Path) -> None:
    with pytest.raises(SklearnError, match=says):
        imported(trained(quick()), tmp_path, frame, features)
