"""Everything that the card states about a model, measured on digits that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from engine.canvas.pipeline import Canvas
from engine.model.classifier import Classifier
from engine.model.svm import Decision, Floats
from engine.training.data.disturb import DISTURBANCES, disturb
from engine.training.data.labelled import Labelled
from engine.training.data.negatives.kinds import KINDS
from engine.training.data.negatives.split import SPLITS, Split
from engine.training.data.samples import Samples, negative_samples, png, prepare_in_parallel
from engine.training.hands.folder import Hands
from engine.training.hands.samples import held_out_jobs, run
from engine.training.report.evaluate import judge
from engine.training.report.foreign import Foreign
from engine.training.report.measure import Judged

_SEED: Final = 20_000  # training starts from small seeds: nothing that is drawn here was drawn there
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured."""

    clean: Judged
    pixels: NDArray[np.uint8]
    """(n, 28, 28): the clean digits."""
    digitness: Floats
    """(n,): of the clean digits."""
    robustness: dict[str, Judged]
    """By kind of disturbance."""
    foreign: Foreign
    """Pictures without a digit."""
    other_format: Judged
    """scikit-learn's 8x8 digits, of other hands: never trained on."""
    hands: dict[str, Judged]
    """Held-out digits of other hands, by their kind: scans and pen tracks if there are any, each drawn variant."""
    hand_pixels: NDArray[np.uint8]
    """(m, 28, 28): the digits of `hands` as the canvas normalises them, kind after kind."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many pictures are read."""

    disturbed: int = 3_000
    """Digits that are disturbed in each way."""
    foreign: int = 1_000
    """Pictures without a digit, of each kind: this many that were never learned, and as many of the learned part."""
    variant: int = 300
    """Pictures of each variant of the drawn digits."""


def run_trial(
    classifier: Classifier, held_out: Labelled, hands: Hands | None, amounts: Amounts, advance: Callable[[], None]
) -> Trial:
    """Measure a model.

    Parameters
    ----------
    classifier
        The model.
    held_out
        Digits that it has not learned from.
    hands
        Digits of other hands, of which the last sixth was not learned from; None for drawn digits alone.
    amounts
        How many pictures are read.
    advance
        Called after each of `steps()` steps.
    """
    pixels = np.rint(held_out.digits * 255).astype(np.uint8)
    clean = _decide(classifier, prepare_in_parallel([png(digit) for digit in pixels]))
    advance()
    robustness = {}
    for number, kind in enumerate(DISTURBANCES):
        pictures = disturb(kind, pixels[: amounts.disturbed], np.random.default_rng((_SEED, number)))
        decisions = _decide(classifier, prepare_in_parallel(pictures))
        robustness[kind] = judge(decisions, classifier.thresholds, held_out.labels[: amounts.disturbed])
        advance()
    against: dict[Split, dict[str, Decision]] = {split: {} for split in SPLITS}
    for number, kind in enumerate(KINDS):
        for split in SPLITS:
            samples = negative_samples(kind, amounts.foreign, split, pixels, (_SEED, number))
            against[split][kind] = _joined(_decide(classifier, samples))
        advance()
    others, hand_pixels = {}, []
    for kind, jobs in held_out_jobs(hands.held_out() if hands else None, amounts.variant).items():
        samples, labels = run(jobs, lambda: None)
        others[kind] = judge(_decide(classifier, samples), classifier.thresholds, labels)
        hand_pixels.append(samples.digits)
    advance()
    return Trial(
        clean=judge(clean, classifier.thresholds, held_out.labels),
        pixels=pixels,
        digitness=_joined(clean).digitness,
        robustness=robustness,
        foreign=Foreign(unseen=against["test"], learned=against["train"], thresholds=classifier.thresholds),
        other_format=_other_format(classifier),
        hands=others,
        hand_pixels=np.concatenate(hand_pixels),
    )


def steps() -> int:
    """Count how often `run_trial` will call `advance`."""
    return 2 + len(DISTURBANCES) + len(KINDS)


def _decide(classifier: Classifier, seen: Samples) -> list[Decision]:
    """Decide on many digits, as many at a time as the service does."""
    return [
        classifier.decide(
            Canvas(
                seen.digits[first : first + _CHUNK].astype(np.float32) / np.float32(255),
                seen.evidence[first : first + _CHUNK],
            )
        )
        for first in range(0, len(seen.digits), _CHUNK)
    ]


def _joined(decisions: Sequence[Decision]) -> Decision:
    return Decision(
        np.concatenate([decision.labels for decision in decisions]),
        np.concatenate([decision.probabilities for decision in decisions]),
        np.concatenate([decision.digitness for decision in decisions]),
    )


def _other_format(classifier: Classifier) -> Judged:
    bunch = load_digits()
    pictures = [png(np.rint(image * (255 / 16)).astype(np.uint8)) for image in bunch.images]
    return judge(
        _decide(classifier, prepare_in_parallel(pictures)), classifier.thresholds, bunch.target.astype(np.int64)
    )
