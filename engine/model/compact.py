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
from engine.model.svm import Decision, Floats, Machine

KIND = "compact"
_STORED = tuple(field.name for field in fields(Machine))


@dataclass(frozen=True)
class Compact:
    """A compact machine over HOG features."""

    machine: Machine

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return normalise(pictures)

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, 28, 28), with the evidence (n, e) of their pictures."""
        return self.machine.decide(hog(digits), evidence)


def to_arrays(machine: Machine) -> dict[str, NDArray[Any]]:
    """Return the arrays to store; half precision halves the file and changes probabilities by less than 1e-3."""
    return {name: np.asarray(getattr(machine, name), np.float16) for name in _STORED}


def from_arrays(arrays: Mapping[str, NDArray[Any]], _about: Mapping[str, Any]) -> Compact:
    """Build the model from the file's arrays.

    Raises
    ------
    KeyError, ValueError
        If an array is missing, or its dtype or shape does not fit the others.
    """
    for name in _STORED:
        if arrays[name].dtype != np.float16:
            raise ValueError(f"{name} must be float16, not {arrays[name].dtype}")
    machine = machine_of(arrays)
    if machine.projection.shape[0] != FEATURES:
        raise ValueError(f"projection must have {FEATURES} rows, not {machine.projection.shape[0]}")
    if len(machine.evidence_weights) != len(EVIDENCE):
        raise ValueError(f"evidence_weights must be {len(EVIDENCE)}, not {len(machine.evidence_weights)}")
    return Compact(machine)


def machine_of(arrays: Mapping[str, NDArray[Any]]) -> Machine:
    """Build the machine from its arrays, which may have any precision."""
    values = {name: arrays[name].astype(np.float32) for name in _STORED if name != "temperature"}
    return Machine(**values, temperature=float(arrays["temperature"]))
