"""Turns the scores of an imported machine into probabilities, in the forms that scikit-learn has.

softmax    of the scores, divided by a temperature
sigmoid    a logistic function of each digit's score, then divided by their sum
steps      straight lines between the steps of each digit's score, then divided by their sum
pairwise   the probabilities of all pairs of digits, coupled

References
----------
.. [1] J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999: the sigmoid.
.. [2] B. Zadrozny, C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002:
   the steps of an isotonic regression, and the division by the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.model.imported.pair_votes import PAIRS, couple
from engine.model.svm import DIGITS, Doubles


class Confidence(Protocol):
    """The interface of every form."""

    def probabilities(self, scores: Doubles, outputs: Doubles) -> Doubles:
        """Return the probabilities (n, 10), given the scores (n, 10) and the machine's own outputs (n, 10 or 45)."""
        ...


@dataclass(frozen=True, slots=True)
class Softmax:
    """One temperature for all digits: logistic regression, and machines without probabilities of their own."""

    temperature: float

    def __post_init__(self) -> None:
        """Check the temperature.

        Raises
        ------
        ValueError
            If it is not above 0.
        """
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def probabilities(self, scores: Doubles, outputs: Doubles) -> Doubles:  # noqa: ARG002  # of the interface
        """As in the interface."""
        logits = scores / self.temperature
        powers: Doubles = np.exp(logits - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """A logistic function for each digit: Platt's calibration, and machines trained one against all others."""

    slopes: Doubles
    """(10,)"""
    offsets: Doubles
    """(10,)"""

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises
        ------
        ValueError
            If there is not one of each for each digit.
        """
        for name in ("slopes", "offsets"):
            _must_have_shape(name, getattr(self, name), (DIGITS,))

    def probabilities(self, scores: Doubles, outputs: Doubles) -> Doubles:  # noqa: ARG002  # of the interface
        """As in the interface."""
        with np.errstate(over="ignore"):  # the power is infinite and the probability 0, as it should be
            return _normalised(1 / (1 + np.exp(-(self.slopes * scores + self.offsets))))


@dataclass(frozen=True, slots=True)
class Steps:
    """Straight lines between points, level beyond the first and the last: isotonic calibration, and modified Huber."""

    inputs: Doubles
    """(p,): scores at the points, those of digit 0 first, ascending."""
    outputs: Doubles
    """(p,): probabilities there, before they are divided by their sum."""
    points: NDArray[np.int64]
    """(10,): number of points of each digit."""

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises
        ------
        ValueError
            If the points cannot be divided among the digits, or scores do not ascend.
        """
        _must_have_shape("points", self.points, (DIGITS,))
        count = int(self.points.sum())
        if self.points.min() < 1:
            raise ValueError(f"every digit needs a point, not {self.points.tolist()}")
        for name in ("inputs", "outputs"):
            _must_have_shape(name, getattr(self, name), (count,))
        if any((np.diff(inputs) <= 0).any() for inputs, _ in self._of_digits()):
            raise ValueError("inputs must ascend")

    def probabilities(self, scores: Doubles, outputs: Doubles) -> Doubles:  # noqa: ARG002  # of the interface
        """As in the interface."""
        of_digits = enumerate(self._of_digits())
        columns = [np.interp(scores[:, digit], inputs, values) for digit, (inputs, values) in of_digits]
        return _normalised(np.stack(columns, axis=1))

    def _of_digits(self) -> list[tuple[Doubles, Doubles]]:
        """Return scores and probabilities of each digit's points."""
        ends = np.cumsum(self.points)[:-1]
        return list(zip(np.split(self.inputs, ends), np.split(self.outputs, ends), strict=True))


@dataclass(frozen=True, slots=True)
class Pairwise:
    """The probabilities of a libsvm machine that was trained with them."""

    pairwise: Doubles
    """(2, 45): slope and offset of each pair's probability."""

    def __post_init__(self) -> None:
        """Check the shape.

        Raises
        ------
        ValueError
            If there is not one column for each pair.
        """
        _must_have_shape("pairwise", self.pairwise, (2, len(PAIRS)))

    def probabilities(self, scores: Doubles, outputs: Doubles) -> Doubles:  # noqa: ARG002  # of the interface
        """As in the interface.

        Raises
        ------
        ValueError
            If the machine does not compare pairs.
        """
        _must_have_shape("outputs", outputs, (len(outputs), len(PAIRS)))
        return couple(outputs, self.pairwise)


FORMS: Final[Mapping[str, type[Softmax | Sigmoid | Steps | Pairwise]]] = MappingProxyType(
    {"softmax": Softmax, "sigmoid": Sigmoid, "steps": Steps, "pairwise": Pairwise}
)


def form_of(confidence: Confidence) -> str:
    """Return the name of a form."""
    return next(name for name, form in FORMS.items() if isinstance(confidence, form))


def to_arrays(confidence: Confidence) -> dict[str, NDArray[Any]]:
    """Return the arrays to store."""
    names = [field.name for field in fields(FORMS[form_of(confidence)])]
    return {name: np.asarray(getattr(confidence, name)) for name in names}


def from_arrays(form: str, arrays: Mapping[str, NDArray[Any]]) -> Confidence:
    """Build the confidence from its arrays.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the form is unknown, or its arrays are missing or do not fit.
    """
    of_form: dict[str, Any] = {field.name: arrays[field.name] for field in fields(FORMS[form])}
    if form == "softmax":
        return Softmax(float(of_form["temperature"]))
    return FORMS[form](**of_form)


def _normalised(values: Doubles) -> Doubles:
    """Divide each row by its sum; a row of zeros has the same probability for each digit."""
    sums = values.sum(axis=1, keepdims=True)
    normalised = np.full_like(values, 1 / DIGITS)
    np.divide(values, sums, out=normalised, where=sums != 0)
    return normalised


def _must_have_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
