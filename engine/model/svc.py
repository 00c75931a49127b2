"""Runs an imported model: a scikit-learn SVC over scikit-image's HOG, with the same decisions as libsvm.

frame     bring the picture to the size, polarity and range of the training pictures
describe  compute the features by `engine.model.block_hog`
compare   compute the kernel with every support vector, in double precision
vote      one binary classifier for each pair of digits votes; most votes win, of equal digits the smaller one
couple    join pairwise probabilities to ten, if the model has them; else take a softmax of the votes

References
----------
.. [1] C.-C. Chang, C.-J. Lin, "LIBSVM: A Library for Support Vector Machines", ACM TIST 2 (2011), sections 7 and 8.
.. [2] T.-F. Wu, C.-J. Lin, R. Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling",
   JMLR 5 (2004), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas, normalise
from engine.codecs.decode import Picture
from engine.model.block_hog import BlockHog, Doubles
from engine.model.svm import DIGITS, Decision, Floats, softmax

KIND = "svc"
PAIRS: Final = tuple(combinations(range(DIGITS), 2))

_GREY_WEIGHTS = np.array([19595, 38470, 7471], np.uint32)  # red, green, blue, of 65536: ITU-R BT.601
_COLOURED = 3  # channels; fewer are grey, or grey and alpha
_MID_GREY = 127
_IS_DIGIT = np.float32(30)  # log odds: this model has no means to detect pictures without a digit
_COUPLING_ROUNDS = 100
_COUPLING_EPS = 0.005 / DIGITS
_PROBABILITY_MIN = 1e-7  # pairwise probabilities stay this far from 0 and 1


_ARRAYS: Final = {
    "support": np.float64,
    "counts": np.int64,
    "duals": np.float64,
    "intercept": np.float64,
    "pairwise": np.float64,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The form of the model's training pictures, and the conversion of pictures to it."""

    side_px: int = 28
    bright_ink: bool = True
    white: float = 1.0
    """The value of the brightest pixel: 1 or 255."""
    canvas: bool = False
    """Find and centre the digit first, as for this project's own model; else take the picture as it is."""

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into (n, side, side), 0 paper and 1 ink, with no evidence."""
        digits = normalise(pictures).digits if self.canvas else [_plain(picture.pixels) for picture in pictures]
        sized = np.zeros((len(pictures), self.side_px, self.side_px), np.float32)
        for i, digit in enumerate(digits):
            same = digit.shape == (self.side_px, self.side_px)
            sized[i] = digit if same else cv2.resize(digit, (self.side_px,) * 2, interpolation=cv2.INTER_AREA)
        return Canvas(sized, np.zeros((len(pictures), 0), np.float32))

    def to_training_range(self, digits: Floats) -> Doubles:
        """Scale ink and paper to the values of the training pictures."""
        pictures = digits.astype(np.float64)
        return (pictures if self.bright_ink else 1 - pictures) * self.white


def _plain(pixels: NDArray[np.uint8]) -> Floats:
    """Convert a picture to grey with Pillow's weights and make its ink bright; the rim is taken for paper."""
    channels = pixels.reshape(*pixels.shape[:2], -1)
    if channels.shape[2] < _COLOURED:
        grey = channels[:, :, 0]
    else:
        grey = ((channels[:, :, :_COLOURED].astype(np.uint32) @ _GREY_WEIGHTS + 0x8000) >> 16).astype(np.uint8)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = grey if float(np.median(rim)) <= _MID_GREY else 255 - grey
    return ink.astype(np.float32) / np.float32(255)


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


def vote(margins: Doubles) -> tuple[NDArray[np.int64], Floats]:
    """Count the votes for each digit (n, 10), and score them: votes plus up to a third of a vote for the margins.

    The first is libsvm's prediction (the first maximum), the second scikit-learn's `decision_function` of shape "ovr".
    """
    wins = np.zeros((len(margins), DIGITS), np.int64)
    sums = np.zeros((len(margins), DIGITS))
    for pair, (small, large) in enumerate(PAIRS):
        won = margins[:, pair] > 0
        wins[:, small] += won
        wins[:, large] += ~won
        sums[:, small] += margins[:, pair]
        sums[:, large] -= margins[:, pair]
    return wins, (wins + sums / (3 * (np.abs(sums) + 1))).astype(np.float32)


def couple(margins: Doubles, pairwise: Doubles) -> Floats:
    """Estimate ten probabilities from each row's 45 pairwise ones (second method of [2]_)."""
    slope, offset = pairwise
    logits = margins * slope + offset
    of_small = np.clip(1 / (1 + np.exp(np.clip(logits, -500, 500))), _PROBABILITY_MIN, 1 - _PROBABILITY_MIN)
    beats = np.zeros((len(margins), DIGITS, DIGITS))
    for pair, (small, large) in enumerate(PAIRS):
        beats[:, small, large] = of_small[:, pair]
        beats[:, large, small] = 1 - of_small[:, pair]
    return np.array([_coupled(row) for row in beats], np.float32).reshape(len(margins), DIGITS)


def _coupled(beats: Doubles) -> Doubles:
    """Iterate one row until it converges."""
    quadratic = -beats * beats.T
    np.fill_diagonal(quadratic, (beats**2).sum(axis=0))
    probabilities = np.full(DIGITS, 1 / DIGITS)
    product = quadratic @ probabilities
    total = float(probabilities @ product)
    for _ in range(_COUPLING_ROUNDS):
        if np.abs(product - total).max() < _COUPLING_EPS:
            break
        for digit in range(DIGITS):
            change = (total - product[digit]) / quadratic[digit, digit]
            probabilities[digit] += change
            total = (total + change * (change * quadratic[digit, digit] + 2 * product[digit])) / (1 + change) ** 2
            product = (product + change * quadratic[digit]) / (1 + change)
            probabilities /= 1 + change
    return probabilities


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
