"""An imported model: features of pictures, one machine or several, and what their outputs mean.

frame      bring the picture to the size, polarity and range of the training pictures
describe   compute the features that the model was trained with
score      each member computes scores of the ten digits, or margins of their pairs, which vote
believe    each member's scores become probabilities, and the mean of the members counts

A model has several members if it was calibrated by cross-validation: each fold has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model.frame import Frame
from engine.model.imported import confidence as forms
from engine.model.imported import features as described
from engine.model.imported.confidence import Confidence
from engine.model.imported.features import EngineHog, Features
from engine.model.imported.linear_machine import LinearMachine
from engine.model.imported.pair_votes import vote
from engine.model.imported.support_vectors import SupportVectors
from engine.model.svm import DIGITS, Decision, Doubles, Floats

KINDS: Final[Mapping[str, type[SupportVectors | LinearMachine]]] = MappingProxyType(
    {"svc": SupportVectors, "linear": LinearMachine}
)

_IS_DIGIT = np.float32(30)  # log odds: this model has no means to detect pictures without a digit
_INTEGERS: Final = frozenset({"counts", "points"})


class Beliefs(NamedTuple):
    """What a model makes of n pictures, in double precision."""

    labels: NDArray[np.int64]
    """(n,)"""
    probabilities: Doubles
    """(n, 10)"""


@dataclass(frozen=True, slots=True)
class Member:
    """A machine and the form of its probabilities."""

    machine: SupportVectors | LinearMachine
    confidence: Confidence

    def believe(self, features: Doubles) -> Beliefs:
        """Decide on n digits by their features (n, d), by the scores or votes alone."""
        outputs = self.machine.outputs(features)
        if outputs.shape[1] == DIGITS:
            return Beliefs(outputs.argmax(axis=1), self.confidence.probabilities(outputs, outputs))
        wins, scores = vote(outputs)
        return Beliefs(wins.argmax(axis=1), self.confidence.probabilities(scores, outputs))


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that scikit-learn has trained, with ten classes."""

    frame: Frame
    features: Features
    members: tuple[Member, ...]
    by_probability: bool = False
    """The most probable digit is the label, as in CalibratedClassifierCV; else that of the highest score or of most
    votes, which with some forms need not have the highest probability."""

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises
        ------
        ValueError
            If they do not.
        """
        if isinstance(self.features, EngineHog) and not (self.frame.bright_ink and self.frame.white == 1):
            raise ValueError("engine-hog describes pictures with bright ink whose brightest pixel is 1")
        count = self.features.features(self.frame.side_px)
        for member in self.members:
            if member.machine.features != count:
                raise ValueError(
                    f"the model was trained on {member.machine.features:,} features, but the pictures have {count:,}"
                )
        if not self.members or (len(self.members) > 1 and not self.by_probability):
            raise ValueError(f"{len(self.members)} members cannot decide by their scores: there must be one")

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return self.frame.prepare(pictures)

    def describe(self, digits: Floats) -> Doubles:
        """Compute the features (n, d) of n digits (n, side, side), as returned by `prepare`."""
        return self.features.describe(self.frame.to_training_range(digits))

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, side, side), as returned by `prepare`; every picture is taken for a digit."""
        labels, probabilities = self.believe(self.describe(digits))
        return Decision(labels, probabilities.astype(np.float32), np.full(len(evidence), _IS_DIGIT))

    def believe(self, features: Doubles) -> Beliefs:
        """Decide on n digits by their features (n, d)."""
        beliefs = [member.believe(features) for member in self.members]
        if not self.by_probability:
            return beliefs[0]
        total = np.zeros((len(features), DIGITS))
        for each in beliefs:  # in this order, as scikit-learn does: equal probabilities stay equal
            total += each.probabilities
        total /= len(beliefs)
        return Beliefs(total.argmax(axis=1), total)


def to_arrays(imported: Imported) -> dict[str, NDArray[Any]]:
    """Return the arrays to store."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, member in enumerate(imported.members):
        own = {**member.machine.arrays(), **forms.to_arrays(member.confidence)}
        arrays |= {name + _suffix(number, len(imported.members)): array for name, array in own.items()}
    return arrays


def about(imported: Imported) -> dict[str, Any]:
    """Return the fields of the manifest with which `from_arrays` builds the model again."""
    machine = imported.members[0].machine
    return {
        "kind": next(kind for kind, of_kind in KINDS.items() if isinstance(machine, of_kind)),
        "frame": asdict(imported.frame),
        **described.about(imported.features),
        "members": [
            {"confidence": forms.form_of(member.confidence), **member.machine.about()} for member in imported.members
        ],
        "by_probability": imported.by_probability,
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> Imported:
    """Build the model from the file's arrays and what the manifest says about it.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing or the parts do not belong together.
    """
    members = manifest["members"] if "members" in manifest else [_of_version_0_1(arrays, manifest)]
    machine_of = KINDS[manifest["kind"]]
    built = []
    for number, about_member in enumerate(members):
        suffix = _suffix(number, len(members))
        own = {name.removesuffix(suffix): array for name, array in arrays.items() if name.endswith(suffix)}
        confidence = forms.from_arrays(about_member["confidence"], own)
        built.append(Member(machine_of.from_arrays(own, about_member), confidence))
    imported = Imported(
        Frame(**manifest["frame"]),
        described.from_about(manifest),
        tuple(built),
        by_probability=bool(manifest.get("by_probability", False)),
    )
    for name, array in to_arrays(imported).items():
        dtype = np.dtype(np.int64 if name.partition(".")[0] in _INTEGERS else np.float64)
        if array.dtype != dtype:
            raise ValueError(f"{name} must be {dtype}, not {array.dtype}")
    return imported


def _suffix(number: int, members: int) -> str:
    """Return what the names of a member's arrays end in: nothing, if it is the only one."""
    return "" if members == 1 else f".{number}"


def _of_version_0_1(arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the only member of a model that version 0.1.0 has imported, in today's form."""
    form = "pairwise" if arrays["pairwise"].shape[1] else "softmax"
    return {"kernel": manifest["kernel"], "confidence": form}
