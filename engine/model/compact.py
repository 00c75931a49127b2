"""The model that this project trains: `engine.model.hog` features and the compact machine of `engine.model.svm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import EVIDENCE, Canvas, normalise
from engine.codecs.decode import Picture
from engine.model.hog import FEATURES, hog
from engine.model.reject_head import HIGHEST, RejectHead
from engine.model.second_look import look_again
from engine.model.svm import Decision, Floats, Machine

KIND = "compact"
_REJECT = tuple(field.name for field in fields(RejectHead))
_DECIDE = tuple(field.name for field in fields(Machine) if field.name != "reject")
_NUMBERS = frozenset({"temperature", "output_bias"})


@dataclass(frozen=True)
class Compact:
    """A compact machine over HOG features."""

    machine: Machine

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return normalise(pictures)

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, 28, 28), with the evidence (n, e) of their pictures."""
        features = hog(digits)
        scores = self.machine.scores(features)
        digitness = self.machine.reject.digitness(features, scores, evidence)
        return self.machine.decide(look_again(self._first_scores, digits, scores), digitness)

    def scores(self, digits: Floats) -> Floats:
        """Return the scores (n, 10) that `decide` turns into probabilities."""
        return look_again(self._first_scores, digits, self._first_scores(digits))

    def _first_scores(self, digits: Floats) -> Floats:
        return self.machine.scores(hog(digits))


def arrays_of(machine: Machine) -> dict[str, NDArray[Any]]:
    """Return the machine's arrays and those of its reject head, in full precision."""
    return {name: np.asarray(getattr(machine, name)) for name in _DECIDE} | reject_arrays(machine.reject)


def reject_arrays(head: RejectHead) -> dict[str, NDArray[Any]]:
    """Return the arrays of a reject head, in full precision."""
    return {name: np.asarray(getattr(head, name)) for name in _REJECT}


def to_arrays(machine: Machine) -> dict[str, NDArray[Any]]:
    """Return the arrays to store; half precision halves the file and changes probabilities by less than 1e-3."""
    return {name: array.astype(np.float16) for name, array in arrays_of(machine).items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]], _about: Mapping[str, Any]) -> Compact:
    """Build the model from the file's arrays.

    Raises
    ------
    KeyError, ValueError
        If an array is missing, or its dtype or shape does not fit the others.
    """
    if "evidence_weights" in arrays:
        raise ValueError("it was trained by version 0.1.0 and must be trained again")
    if "from_scores" not in arrays:  # trained before the head saw the scores
        hidden = arrays["hidden_bias"].shape
        arrays = {**arrays, "from_scores": np.zeros((HIGHEST, *hidden), np.float16)}
    for name in (*_DECIDE, *_REJECT):
        if arrays[name].dtype != np.float16:
            raise ValueError(f"{name} must be float16, not {arrays[name].dtype}")
    machine = machine_of(arrays)
    if machine.projection.shape[0] != FEATURES:
        raise ValueError(f"projection must have {FEATURES} rows, not {machine.projection.shape[0]}")
    if len(machine.reject.from_evidence) != len(EVIDENCE):
        raise ValueError(f"from_evidence must have {len(EVIDENCE)} rows, not {len(machine.reject.from_evidence)}")
    return Compact(machine)


def machine_of(arrays: Mapping[str, NDArray[Any]]) -> Machine:
    """Build the machine from its arrays, which may have any precision."""
    return Machine(**{name: _value(name, arrays[name]) for name in _DECIDE}, reject=reject_of(arrays))


def reject_of(arrays: Mapping[str, NDArray[Any]]) -> RejectHead:
    """Build the reject head from its arrays, which may have any precision."""
    return RejectHead(**{name: _value(name, arrays[name]) for name in _REJECT})


def _value(name: str, array: NDArray[Any]) -> Any:
    return float(array) if name in _NUMBERS else array.astype(np.float32)
