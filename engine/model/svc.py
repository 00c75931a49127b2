"""Runs an imported model: a scikit-learn SVC over scikit-image's HOG, with the same decisions as libsvm.

frame     bring the picture to the size, polarity and range of the training pictures
describe  compute the features by `engine.model.block_hog`
compare   compute the kernel with every support vector, in double precision
vote      one binary classifier for each pair of digits votes; most votes win, of equal digits the smaller one
couple    join pairwise probabilities to ten, if the model has them; else take a softmax of the votes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model.block_hog import BlockHog, Doubles
from engine.model.pair_votes import PAIRS, couple, vote
from engine.model.svc_frame import Frame
from engine.model.svm import DIGITS, Decision, Floats, softmax

KIND = "svc"

_IS_DIGIT = np.float32(30)  # log odds: this model has no means to detect pictures without a digit


_ARRAYS: Final = {
    "support": np.float64,
    "counts": np.int64,
    "duals": np.float64,
    "intercept": np.float64,
    "pairwise": np.float64,
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel of a support vector machine, as scikit-learn names its parameters."""

    name: str
    gamma: float
    coef0: float
    degree: int

    def __post_init__(self) -> None:
        """Refuse an unknown kernel.

        Raises
        ------
        ValueError
            If the name is none of `KERNELS`.
        """
        if self.name not in KERNELS:
            raise ValueError(f"the kernel must be one of {', '.join(KERNELS)}, not {self.name}")

    def __call__(self, left: Doubles, right: Doubles) -> Doubles:
        """Compare each of n rows with each of m rows: (n, m)."""
        return KERNELS[self.name](self, left, right)


def _rbf(kernel: Kernel, left: Doubles, right: Doubles) -> Doubles:
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * (left @ right.T)
    values: Doubles = np.exp(-kernel.gamma * np.maximum(squares, 0))
    return values


KERNELS: Final[Mapping[str, Callable[[Kernel, Doubles, Doubles], Doubles]]] = MappingProxyType(
    {
        "linear": lambda _, left, right: left @ right.T,
        "poly": lambda kernel, left, right: (kernel.gamma * (left @ right.T) + kernel.coef0) ** kernel.degree,
        "rbf": _rbf,
        "sigmoid": lambda kernel, left, right: np.tanh(kernel.gamma * (left @ right.T) + kernel.coef0),
    }
)


@dataclass(frozen=True, slots=True)
class Svc:
    """A trained SVC with ten classes."""

    frame: Frame
    hog: BlockHog
    kernel: Kernel
    support: Doubles
    """(m, d): the support vectors, those of digit 0 first."""
    counts: NDArray[np.int64]
    """(10,): support vectors of each digit."""
    duals: Doubles
    """(9, m): weights of each support vector in the nine classifiers of its digit (dual coefficients)."""
    intercept: Doubles
    """(45,): of each pair's classifier."""
    pairwise: Doubles
    """(2, 45): slope and offset of each pair's probability; (2, 0) if the model has none."""
    temperature: float
    """Divides the scores before the softmax, if there are no pairwise probabilities."""

    def __post_init__(self) -> None:
        """Compare the shapes with one another.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        count = len(self.support)
        expected = {
            "support": (count, self.hog.features(self.frame.side_px)),
            "counts": (DIGITS,),
            "duals": (DIGITS - 1, count),
            "intercept": (len(PAIRS),),
            "pairwise": (2, self.pairwise.shape[-1]),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if self.counts.sum() != count or self.counts.min() < 0:
            raise ValueError(f"{count} support vectors cannot be counted as {self.counts.tolist()}")
        if self.pairwise.shape[1] not in (0, len(PAIRS)):
            raise ValueError(f"pairwise must have 0 or {len(PAIRS)} columns, not {self.pairwise.shape[1]}")

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return self.frame.prepare(pictures)

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, side, side), as returned by `prepare`; every picture is taken for a digit."""
        margins = self.margins(self.hog.describe(self.frame.to_training_range(digits)))
        wins, scores = vote(margins)
        if self.pairwise.shape[1]:
            probabilities = couple(margins, self.pairwise)
        else:
            probabilities = softmax(scores / np.float32(self.temperature))
        is_digit = np.full(len(evidence), _IS_DIGIT)
        return Decision(wins.argmax(axis=1), probabilities, is_digit)

    def margins(self, features: Doubles) -> Doubles:
        """Return the outputs of all pair classifiers: (n, 45), above 0 where the smaller digit wins."""
        values = self.kernel(features, self.support)
        ends = np.cumsum(self.counts)
        of = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        margins = np.empty((len(features), len(PAIRS)))
        for pair, (small, large) in enumerate(PAIRS):
            margins[:, pair] = (
                values[:, of[small]] @ self.duals[large - 1, of[small]]
                + values[:, of[large]] @ self.duals[small, of[large]]
                + self.intercept[pair]
            )
        return margins


def to_arrays(svc: Svc) -> dict[str, NDArray[Any]]:
    """Return the arrays to store."""
    return {name: np.asarray(getattr(svc, name)) for name in (*_ARRAYS, "temperature")}


def from_arrays(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> Svc:
    """Build the model from the file's arrays and what the manifest says about it.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing or the parts do not belong together.
    """
    for name, dtype in _ARRAYS.items():
        if arrays[name].dtype != dtype:
            raise ValueError(f"{name} must be {np.dtype(dtype)}, not {arrays[name].dtype}")
    return Svc(
        frame=Frame(**about["frame"]),
        hog=BlockHog(**about["hog"]),
        kernel=Kernel(**about["kernel"]),
        temperature=float(arrays["temperature"]),
        **{name: arrays[name] for name in _ARRAYS},
    )
