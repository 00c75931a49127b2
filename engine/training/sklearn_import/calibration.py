"""Takes a whole model apart: its pipeline, its calibration with all folds, and the classifiers within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from engine.model.imported.affine_map import AffineMap
from engine.model.imported.confidence import Confidence, Sigmoid, Softmax, Steps
from engine.model.imported.predictor import Member
from engine.model.svm import DIGITS
from engine.training.sklearn_import.errors import SklearnError, unsupported
from engine.training.sklearn_import.machines import split_pipeline, take_apart
from engine.training.sklearn_import.values import doubles, must_know_the_digits


@dataclass(frozen=True, slots=True)
class Parts:
    """A model taken apart."""

    members: tuple[Member, ...]
    by_probability: bool
    calibrated: bool
    """It has probabilities of its own."""
    outdated: bool
    """The installed scikit-learn computes probabilities in another way than the one that trained it."""


def parts_of(estimator: Any) -> Parts:
    """Take a fitted model of ten digits apart.

    Raises
    ------
    SklearnError
        If it, or a part of it, cannot be imported.
    """
    try:
        return _parts(*split_pipeline(estimator, None))
    except NotFittedError as error:
        raise SklearnError(f"the file has a model that is not fitted: {error}") from error
    except (AttributeError, TypeError) as error:  # fields that other versions of scikit-learn do not have
        raise SklearnError(f"the model lacks what a fitted one of this version has: {error}") from error


def _parts(classifier: Any, before: AffineMap | None) -> Parts:
    if type(classifier) is not CalibratedClassifierCV:
        taken = take_apart(classifier, before)
        return Parts((taken.member,), by_probability=False, calibrated=taken.calibrated, outdated=taken.outdated)
    check_is_fitted(classifier)
    must_know_the_digits(classifier)
    folds = classifier.calibrated_classifiers_
    members = tuple(_calibrated(each.estimator, each, before) for each in folds)
    return Parts(members, by_probability=True, calibrated=True, outdated=False)


def _calibrated(estimator: Any, fold: Any, before: AffineMap | None) -> Member:
    """Take the classifier of one fold apart, with the calibration of its scores."""
    inner, before = split_pipeline(estimator, before)
    while type(inner) is FrozenEstimator:
        inner, before = split_pipeline(inner.estimator, before)
    if type(inner) is CalibratedClassifierCV:
        raise unsupported("the file has a CalibratedClassifierCV in another one")
    if type(inner) is SVC and inner.decision_function_shape != "ovr":
        raise SklearnError(
            f"the calibrated SVC has decision_function_shape={inner.decision_function_shape!r}; 'ovr' is supported"
        )
    return Member(take_apart(inner, before).member.machine, _confidence(fold))


def _confidence(fold: Any) -> Confidence:
    calibrators = fold.calibrators
    if fold.method == "temperature" and len(calibrators) == 1:
        return Softmax(1 / float(calibrators[0].beta_))
    if fold.method not in ("sigmoid", "isotonic"):
        raise SklearnError(
            f"the calibration has the method {fold.method!r}; supported are sigmoid, isotonic and temperature"
        )
    if len(calibrators) != DIGITS:
        raise SklearnError(f"the calibration has {len(calibrators)} calibrators; one for each digit is needed")
    if fold.method == "sigmoid":
        slopes, offsets = ([-float(getattr(each, name)) for each in calibrators] for name in ("a_", "b_"))
        return Sigmoid(np.array(slopes), np.array(offsets))
    inputs, outputs = ([doubles(each, name) for each in calibrators] for name in ("X_thresholds_", "y_thresholds_"))
    points = np.array([len(each) for each in inputs], np.int64)
    try:
        return Steps(np.concatenate(inputs), np.concatenate(outputs), points)
    except ValueError as error:
        raise SklearnError(f"the isotonic calibration has steps that do not fit together: {error}") from error
