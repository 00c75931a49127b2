"""Calibrates a fitted machine on held-out digits, and saves it with the figures and the reference measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.model import compact
from engine.model import store as model
from engine.model.compact import Compact, machine_of
from engine.model.reference import FIELD
from engine.model.reference_digits import as_ink
from engine.model.store import Model, Predictor, Thresholds
from engine.model.svm import Decision, Floats, Machine
from engine.training.data.labelled import Labelled
from engine.training.data.negatives.kinds import KINDS
from engine.training.data.samples import Samples, negative_samples, png, prepare_in_parallel
from engine.training.fit.calibrate import fit_presence, fit_temperature, threshold_for_share
from engine.training.fit.reference import reference_of_decision
from engine.training.hands.samples import HandSamples
from engine.training.report.evaluate import judge
from engine.training.report.measure import joined

_UNSURE_AS_NO_DIGIT: Final = 0.004  # of the clean digits; with the next share below the 1 % that may be unsure
_UNSURE_AS_DOUBTFUL: Final = 0.005
_CALIBRATED_WITH: Final = 200  # pictures without a digit, of each kind
_CALIBRATION_SEED: Final = 10_000  # training starts from small seeds
_SHOWN: Final = ("n", "error_pct", "unsure_pct", "error_pct_recognised")


def save(
    machine: Machine, held_out: Labelled, hands: Mapping[str, HandSamples], settings: dict[str, Any], folder: Path
) -> Model:
    """Calibrate a machine and save it.

    Parameters
    ----------
    machine
        Its ten machines and its reject head are fitted.
    held_out
        Digits that were not learned from; the thresholds are chosen on them, and so is the presence, which also needs
        pictures without a digit.
    hands
        Held-out digits of other hands by their kind. The temperature is chosen on both together, since a confidence
        must mean the same for every hand.
    settings
        Of the training; for the manifest.
    folder
        The folder for the model.
    """
    pixels = np.rint(held_out.digits * 255).astype(np.uint8)
    samples = prepare_in_parallel([png(digit) for digit in pixels])
    others = {kind: hand.samples for kind, hand in hands.items()}
    scores = Compact(machine).scores(as_ink(np.concatenate([one.digits for one in (samples, *others.values())])))
    labels = np.concatenate([held_out.labels, *(hand.labels for hand in hands.values())])
    machine = replace(machine, temperature=fit_temperature(scores, labels))
    predictor = Compact(machine_of(compact.to_arrays(machine)))  # measure the rounded values that the file holds
    foreign = foreign_digitness(predictor, pixels, settings["negatives"], settings["plan"]["seed"])
    thresholds = thresholds_for(decide(predictor, samples), foreign)
    about = {
        "kind": compact.KIND,
        "name": settings["name"],
        "version": settings["version"],
        "settings": settings,
        "hidden": len(predictor.machine.reject.output),
        **held_out_figures(predictor, thresholds, (samples, held_out.labels), hands),
    }
    return model.save(folder, compact.to_arrays(predictor.machine), thresholds, about)


def held_out_figures(
    predictor: Predictor,
    thresholds: Thresholds,
    held_out: tuple[Samples, NDArray[np.int64]],
    hands: Mapping[str, HandSamples],
) -> dict[str, Any]:
    """Measure a model on digits that it has not learned from; return the manifest's fields on it.

    Parameters
    ----------
    predictor
        The model.
    thresholds
        Below them a reading is unsure.
    held_out
        The digits of the first collection, as the canvas normalises them, and their labels.
    hands
        Those of other hands by their kind.
    """
    samples, labels = held_out
    decision = decide(predictor, samples)
    figures = judge([decision], thresholds, labels).figures()
    judged = {kind: judge([decide(predictor, hand.samples)], thresholds, hand.labels) for kind, hand in hands.items()}
    return {
        "thresholds": {
            **asdict(thresholds),
            "coverage_pct": round(100 - figures["unsure_pct"], 4),
            "error_pct_recognised": figures["error_pct_recognised"],
        },
        "held_out": figures,
        "held_out_hands": joined(judged.values()).figures(),
        FIELD: msgspec.to_builtins(reference_of_decision(decision, thresholds)),
        "hands": {kind: {name: one.figures()[name] for name in _SHOWN} for kind, one in judged.items()},
    }


def thresholds_for(decision: Decision, foreign: Floats) -> Thresholds:
    """Choose the thresholds on digits; fit the presence to them and to pictures without a digit."""
    confidence = threshold_for_share(decision.probabilities.max(axis=1), _UNSURE_AS_DOUBTFUL)
    digitness = threshold_for_share(decision.digitness, _UNSURE_AS_NO_DIGIT)
    return Thresholds(confidence, digitness, *fit_presence(decision.digitness, foreign, digitness))


def decide(predictor: Predictor, samples: Samples) -> Decision:
    """Decide on pictures as the canvas normalises them."""
    return predictor.decide(as_ink(samples.digits), samples.evidence)


def foreign_digitness(predictor: Predictor, digits: NDArray[np.uint8], learned: int, seed: int) -> Floats:
    """Return the digitness of pictures without a digit: of the learned kinds, but none of the learned pictures."""
    count, first = min(_CALIBRATED_WITH, learned), _CALIBRATION_SEED + seed
    parts = [negative_samples(kind, count, "train", digits, (first, number)) for number, kind in enumerate(KINDS)]
    return np.concatenate([decide(predictor, part).digitness for part in parts])
