"""Takes the learned values out of scikit-learn's objects, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.model.svm import DIGITS, Doubles
from engine.training.sklearn_import.errors import SklearnError


def doubles(owner: Any, name: str) -> Doubles:
    """Return an attribute as a dense array of doubles; sparse ones and other precisions are converted.

    Raises
    ------
    SklearnError
        If it is missing, or has a value that is not a finite number.
    """
    kind = type(owner).__name__
    try:
        values = getattr(owner, name)
        array = np.ascontiguousarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)
    except (AttributeError, TypeError, ValueError) as error:
        raise SklearnError(f"{name} of the {kind} cannot be read: {error}") from error
    if not np.isfinite(array).all():
        raise SklearnError(f"{name} of the {kind} has a value that is not finite")
    return array


def must_know_the_digits(owner: Any) -> None:
    """Check that the classes are the digits 0 to 9 in order, as numbers or as text.

    Raises
    ------
    SklearnError
        If they are others.
    """
    classes = [str(label).removesuffix(".0") for label in owner.classes_]
    if classes != [str(digit) for digit in range(DIGITS)]:
        raise SklearnError(
            f"the {type(owner).__name__} has the classes {', '.join(classes)}; the digits 0 to 9 are needed"
        )
