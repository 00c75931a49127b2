"""Takes fitted classifiers apart: what scikit-learn has learned, as machines with their confidences.

A linear classifier takes the map before it into its weights, which gives the same scores. An SVC with another kernel
keeps the map.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.validation import check_is_fitted

from engine.model.imported.affine_map import AffineMap
from engine.model.imported.confidence import Confidence, Pairwise, Sigmoid, Softmax, Steps
from engine.model.imported.linear_machine import LinearMachine
from engine.model.imported.predictor import Member
from engine.model.imported.support_vectors import KERNELS, Kernel, SupportVectors
from engine.model.svm import DIGITS, Doubles
from engine.training.sklearn_import.affine import folded, with_step
from engine.training.sklearn_import.errors import SklearnError, unsupported
from engine.training.sklearn_import.values import doubles, must_know_the_digits

_VOTE_TEMPERATURE = 0.2  # one vote more gives 0.99, without calibration
_MARGIN_TEMPERATURE = 1.0  # of scores in which 1 is the margin that training asks for
_ONE_AGAINST_OTHERS = Sigmoid(np.ones(DIGITS), np.zeros(DIGITS))
_MODIFIED_HUBER = Steps(np.tile([-1.0, 1.0], DIGITS), np.tile([0.0, 1.0], DIGITS), np.full(DIGITS, 2))


class Taken(NamedTuple):
    """A classifier taken apart."""

    member: Member
    calibrated: bool
    """It has probabilities of its own."""
    outdated: bool = False
    """The installed scikit-learn computes probabilities in another way than the one that trained it."""


def split_pipeline(estimator: Any, before: AffineMap | None) -> tuple[Any, AffineMap | None]:
    """Return the last step of pipelines within pipelines, and the map that the steps before it are."""
    while type(estimator) is Pipeline:
        for _, step in estimator.steps[:-1]:
            if type(step) is Pipeline:
                last, before = split_pipeline(step, before)
                before = with_step(before, last)
            else:
                before = with_step(before, step)
        estimator = estimator.steps[-1][1]
    return estimator, before


def take_apart(classifier: Any, before: AffineMap | None) -> Taken:
    """Take a fitted classifier of ten digits apart.

    Raises
    ------
    SklearnError
        If it is of another kind, is not fitted, knows other classes, or decides in a way that is not supported.
    """
    kind = type(classifier)
    if kind not in (SVC, LinearSVC, SGDClassifier, LogisticRegression, OneVsRestClassifier):
        raise unsupported(f"the file has a {kind.__name__}")
    check_is_fitted(classifier)
    must_know_the_digits(classifier)
    if kind is SVC:
        return _of_svc(classifier, before)
    if kind is OneVsRestClassifier:
        return _of_one_against_others(classifier, before)
    machine = _linear(doubles(classifier, "coef_"), doubles(classifier, "intercept_"), before)
    if kind is LogisticRegression:
        if _was_trained_one_against_others(classifier):
            return Taken(Member(machine, _ONE_AGAINST_OTHERS), calibrated=True, outdated=True)
        return Taken(Member(machine, Softmax(1.0)), calibrated=True)
    of_loss: dict[str, Confidence] = {"log_loss": _ONE_AGAINST_OTHERS, "modified_huber": _MODIFIED_HUBER}
    confidence = of_loss.get(classifier.loss) if kind is SGDClassifier else None
    return Taken(Member(machine, confidence or Softmax(_MARGIN_TEMPERATURE)), calibrated=confidence is not None)


def _of_one_against_others(classifier: OneVsRestClassifier, before: AffineMap | None) -> Taken:
    """Join the ten classifiers of an OneVsRestClassifier, each with a pipeline of its own, to one machine."""
    weights, bias, kinds = [], [], set()
    for estimator in classifier.estimators_:
        binary, own = split_pipeline(estimator, before)
        kinds.add(type(binary))
        if type(binary) not in (LinearSVC, LogisticRegression):
            raise unsupported(f"the file has an OneVsRestClassifier of {type(binary).__name__}")
        check_is_fitted(binary)
        columns, offsets = _folded(doubles(binary, "coef_"), doubles(binary, "intercept_"), own)
        weights.append(columns)
        bias.append(offsets)
    machine = _machine(np.hstack(weights), np.concatenate(bias))
    if kinds == {LogisticRegression}:
        return Taken(Member(machine, _ONE_AGAINST_OTHERS), calibrated=True)
    return Taken(Member(machine, Softmax(_MARGIN_TEMPERATURE)), calibrated=False)


def _of_svc(machine: SVC, before: AffineMap | None) -> Taken:
    """Take an SVC apart. Private fields hold what libsvm uses; the public ones are derived from them."""
    if not isinstance(machine.kernel, str) or machine.kernel not in KERNELS:
        raise SklearnError(f"the SVC has the kernel {machine.kernel!r}; supported are {', '.join(KERNELS)}")
    if machine.break_ties:
        raise SklearnError("the SVC breaks ties by its scores (break_ties=True), which is not supported")
    pairwise = np.asarray([machine._probA, machine._probB], np.float64).reshape(2, -1)  # noqa: SLF001  # the public names warn
    confidence = Pairwise(pairwise) if pairwise.size else Softmax(_VOTE_TEMPERATURE)
    if machine.kernel == "linear":
        linear = _linear(doubles(machine, "coef_"), doubles(machine, "intercept_"), before)
        return Taken(Member(linear, confidence), calibrated=bool(pairwise.size))
    kernel = Kernel(machine.kernel, float(machine._gamma), float(machine.coef0), int(machine.degree))  # noqa: SLF001  # gamma as "scale" was resolved, published nowhere else
    try:
        vectors = SupportVectors(
            kernel,
            doubles(machine, "support_vectors_"),
            np.asarray(machine.n_support_, np.int64),
            doubles(machine, "dual_coef_"),
            doubles(machine, "intercept_"),
            before,
        )
    except ValueError as error:
        raise SklearnError(f"the SVC has parts that do not fit together: {error}") from error
    return Taken(Member(vectors, confidence), calibrated=bool(pairwise.size))


def _was_trained_one_against_others(classifier: LogisticRegression) -> bool:
    """Return whether a version before 1.8 trained it so; later ones need an OneVsRestClassifier for that."""
    chosen = getattr(classifier, "multi_class", None)
    return chosen in ("ovr", "warn") or (chosen in ("auto", "deprecated") and classifier.solver == "liblinear")


def _linear(coefficients: Doubles, intercept: Doubles, before: AffineMap | None) -> LinearMachine:
    return _machine(*_folded(coefficients, intercept, before))


def _folded(coefficients: Doubles, intercept: Doubles, before: AffineMap | None) -> tuple[Doubles, Doubles]:
    """Return weights (d, c) and bias (c,), with the map before them folded in."""
    if intercept.size not in (1, len(coefficients)):  # a single 0, if there is none
        raise SklearnError(f"coef_ has shape {coefficients.shape}, but intercept_ has {intercept.shape}")
    weights, bias = coefficients.T, np.broadcast_to(intercept.ravel(), len(coefficients))
    if before is None:
        return weights, bias
    if len(before.shift) != len(weights):
        raise SklearnError(f"the steps before have {len(before.shift)} outputs, but coef_ has {coefficients.shape}")
    return folded(before, weights, bias)


def _machine(weights: Doubles, bias: Doubles) -> LinearMachine:
    try:
        return LinearMachine(np.ascontiguousarray(weights), np.ascontiguousarray(bias))
    except ValueError as error:
        raise SklearnError(f"coef_ does not fit ten digits: {error}") from error
