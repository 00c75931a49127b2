"""Everything that the card states about a model, measured on digits that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from engine.model.classifier import Classifier
from engine.model.svm import Decision, Floats
from engine.training.data.disturb import DISTURBANCES, disturb
from engine.training.data.labelled import Labelled
from engine.training.data.negatives.kinds import KINDS
from engine.training.data.negatives.split import SPLITS, Split
from engine.training.data.samples import negative_samples, png, prepare_in_parallel
from engine.training.hands.folder import Hands
from engine.training.hands.samples import held_out_jobs, run
from engine.training.report.evaluate import decide, judge
from engine.training.report.foreign import Foreign
from engine.training.report.measure import Judged
from engine.training.report.scenes import SceneReadings, read_scenes
from engine.training.scenes.kinds import SCENES

_SEED: Final = 20_000  # training starts from small seeds: nothing that is drawn here was drawn there


@dataclass(frozen=True, slots=True)
class HandReadings:
    """Readings of held-out digits of other hands."""

    kinds: dict[str, Judged]
    """By their kind: scans and pen tracks if there are any, each drawn variant."""
    drawn_as: NDArray[np.str_]
    """(m,): the function of `engine.training.hands.pictures` that made each, kind after kind."""
    pixels: NDArray[np.uint8]
    """(m, 28, 28): the digits as the canvas normalises them, kind after kind."""


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
    hands: HandReadings
    scenes: SceneReadings


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many pictures are read."""

    disturbed: int = 3_000
    """Digits that are disturbed in each way."""
    foreign: int = 1_000
    """Pictures without a digit, of each kind: this many that were never learned, and as many of the learned part."""
    variant: int = 500
    """Pictures of each variant of the drawn digits."""
    scenes: int = 300
    """Digits that are drawn into each scene."""


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
    clean = decide(classifier, prepare_in_parallel([png(digit) for digit in pixels]))
    advance()
    some = slice(0, amounts.disturbed)
    robustness = _read_disturbed(classifier, pixels[some], held_out.labels[some], advance)
    foreign = _read_foreign(classifier, pixels, amounts.foreign, advance)
    others = _read_hands(classifier, hands, amounts.variant)
    advance()
    some = slice(0, amounts.scenes)
    scenes = read_scenes(classifier, pixels[some], held_out.labels[some], _SEED, advance)
    return Trial(
        clean=judge(clean, classifier.thresholds, held_out.labels),
        pixels=pixels,
        digitness=_joined(clean).digitness,
        robustness=robustness,
        foreign=foreign,
        other_format=_other_format(classifier),
        hands=others,
        scenes=scenes,
    )


def steps() -> int:
    """Count how often `run_trial` will call `advance`."""
    return 2 + len(DISTURBANCES) + len(KINDS) + len(SCENES)


def _read_disturbed(
    classifier: Classifier, digits: NDArray[np.uint8], labels: NDArray[np.int64], advance: Callable[[], None]
) -> dict[str, Judged]:
    """Read all digits disturbed in each way."""
    robustness = {}
    for number, kind in enumerate(DISTURBANCES):
        pictures = disturb(kind, digits, np.random.default_rng((_SEED, number)))
        robustness[kind] = judge(decide(classifier, prepare_in_parallel(pictures)), classifier.thresholds, labels)
        advance()
    return robustness


def _read_foreign(classifier: Classifier, digits: NDArray[np.uint8], each: int, advance: Callable[[], None]) -> Foreign:
    """Read `each` pictures without a digit of every kind, learned and never learned."""
    against: dict[Split, dict[str, Decision]] = {split: {} for split in SPLITS}
    for number, kind in enumerate(KINDS):
        for split in SPLITS:
            samples = negative_samples(kind, each, split, digits, (_SEED, number))
            against[split][kind] = _joined(decide(classifier, samples))
        advance()
    return Foreign(unseen=against["test"], learned=against["train"], thresholds=classifier.thresholds)


def _read_hands(classifier: Classifier, hands: Hands | None, each: int) -> HandReadings:
    """Read held-out digits of other hands, `each` of every drawn variant."""
    kinds, drawn_as, pixels = {}, [], []
    for kind, jobs in held_out_jobs(hands.held_out() if hands else None, each).items():
        made = run(jobs, lambda: None)
        kinds[kind] = judge(decide(classifier, made.samples), classifier.thresholds, made.labels)
        drawn_as.append(made.drawn_as)
        pixels.append(made.samples.digits)
    return HandReadings(kinds, np.concatenate(drawn_as), np.concatenate(pixels))


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
        decide(classifier, prepare_in_parallel(pictures)), classifier.thresholds, bunch.target.astype(np.int64)
    )
