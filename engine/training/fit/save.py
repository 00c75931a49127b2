"""Calibrates a fitted machine on held-out digits, and saves it with the figures measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.model import compact
from engine.model import store as model
from engine.model.compact import machine_of
from engine.model.reference_digits import as_ink
from engine.model.store import Model, Thresholds
from engine.model.svm import DIGITS, Machine
from engine.training.data.labelled import Labelled
from engine.training.data.samples import png, prepare_in_parallel
from engine.training.fit.calibrate import fit_temperature, threshold_for_share
from engine.training.hands.samples import HandSamples
from engine.training.parallel import describe
from engine.training.report.evaluate import judge
from engine.training.report.measure import joined

_UNSURE_AS_NO_DIGIT: Final = 0.006  # of the clean digits; with the next share below the 1 % that may be unsure
_UNSURE_AS_DOUBTFUL: Final = 0.0025
_SHOWN: Final = ("n", "error_pct", "unsure_pct", "error_pct_recognised")


def save(
    machine: Machine, held_out: Labelled, hands: Mapping[str, HandSamples], settings: dict[str, Any], folder: Path
) -> Model:
    """Calibrate a machine and save it.

    Parameters
    ----------
    machine
        All eleven machines are fitted.
    held_out
        Digits that were not learned from; thresholds are chosen on them.
    hands
        Held-out digits of other hands by their kind. The temperature is chosen on both together, since a confidence
        must mean the same for every hand.
    settings
        Of the training; for the manifest.
    folder
        The folder for the model.
    """
    samples = prepare_in_parallel([png(digit) for digit in np.rint(held_out.digits * 255).astype(np.uint8)])
    features = describe(as_ink(samples.digits))
    other_features = {kind: describe(as_ink(hand.samples.digits)) for kind, hand in hands.items()}
    scores = machine.scores(np.concatenate([features, *other_features.values()]))
    labels = np.concatenate([held_out.labels, *(hand.labels for hand in hands.values())])
    machine = replace(machine, temperature=fit_temperature(scores[:, :DIGITS], labels))
    machine = machine_of(compact.to_arrays(machine))  # measure the rounded values that the file holds
    decision = machine.decide(features, samples.evidence)
    confidence = decision.probabilities.max(axis=1)
    thresholds = Thresholds(
        confidence=threshold_for_share(confidence, _UNSURE_AS_DOUBTFUL),
        digitness=threshold_for_share(decision.digitness, _UNSURE_AS_NO_DIGIT),
    )
    figures = judge([decision], thresholds, held_out.labels).figures()
    others = {
        kind: judge([machine.decide(other_features[kind], hand.samples.evidence)], thresholds, hand.labels)
        for kind, hand in hands.items()
    }
    about = {
        "kind": compact.KIND,
        "name": settings["name"],
        "version": settings["version"],
        "settings": settings,
        "thresholds": {
            "confidence": thresholds.confidence,
            "digitness": thresholds.digitness,
            "coverage_pct": round(100 - figures["unsure_pct"], 4),
            "error_pct_recognised": figures["error_pct_recognised"],
        },
        "held_out": figures,
        "held_out_hands": joined(others.values()).figures(),
        "hands": {kind: {name: one.figures()[name] for name in _SHOWN} for kind, one in others.items()},
    }
    return model.save(folder, compact.to_arrays(machine), thresholds, about)
