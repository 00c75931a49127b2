"""Calibrates a trained network on digits that are set aside for that, and saves it with figures of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.model import store
from engine.model.compact import reject_arrays, reject_of
from engine.model.frame import Frame
from engine.model.onnx import predictor as onnx
from engine.model.onnx.predictor import KIND, SCORES, OnnxModel, build
from engine.model.reference_digits import as_ink
from engine.model.reject_head import RejectHead
from engine.model.store import Model
from engine.model.svm import DIGITS
from engine.training.cnn.export import OUTPUT
from engine.training.data.labelled import Labelled
from engine.training.data.samples import Samples, png, prepare_in_parallel
from engine.training.fit.calibrate import fit_temperature
from engine.training.fit.save import decide, foreign_digitness, held_out_figures, thresholds_for
from engine.training.hands.samples import HandSamples


class Chosen(NamedTuple):
    """What temperature and thresholds are chosen on."""

    digits: Labelled
    """Of the first collection: the thresholds, and the presence."""
    drawn: Labelled
    """As the canvas normalises them: together with the others, the temperature."""


def opened(content: bytes, reject: RejectHead | None = None) -> OnnxModel:
    """Open the exported network; it is not calibrated."""
    return build(
        content,
        OUTPUT,
        frame=Frame(canvas=True),
        mean=0.0,
        std=1.0,
        gives=SCORES,
        labels=tuple(range(DIGITS)),
        temperature=1.0,
        reject=reject,
    )


def save(
    model: OnnxModel,
    chosen: Chosen,
    *,
    held_out: Labelled,
    hands: Mapping[str, HandSamples],
    settings: dict[str, Any],
    folder: Path,
) -> Model:
    """Calibrate a network and save it.

    Parameters
    ----------
    model
        With its reject head, and temperature 1.
    chosen
        Digits that were not learned from, to choose by.
    held_out, hands
        Digits that were not learned from, to measure by alone.
    settings
        Of the training; for the manifest.
    folder
        The folder for the model.
    """
    if model.reject is None:
        raise ValueError("the network has no reject head")
    aside = _samples(chosen.digits)
    scores = model.scores(np.concatenate([as_ink(aside.digits), chosen.drawn.digits]))
    temperature = fit_temperature(scores, np.concatenate([chosen.digits.labels, chosen.drawn.labels]))
    halves = {name: array.astype(np.float16) for name, array in reject_arrays(model.reject).items()}
    head = reject_of(halves)
    model = replace(model, temperature=temperature, reject=head)  # measure what the file holds
    foreign = foreign_digitness(model, _pixels(chosen.digits), settings["negatives"], settings["plan"]["seed"])
    thresholds = thresholds_for(decide(model, aside), foreign)
    about = {
        "kind": KIND,
        "name": settings["name"],
        "version": settings["version"],
        "settings": settings,
        "hidden": len(head.output),
        "frame": asdict(model.frame),
        "onnx": onnx.describe(model),
        "calibrated": True,
        "temperature": round(temperature, 4),
        **held_out_figures(model, thresholds, (_samples(held_out), held_out.labels), hands),
    }
    return store.save(folder, onnx.to_arrays(model) | halves, thresholds, about)


def _samples(data: Labelled) -> Samples:
    return prepare_in_parallel([png(digit) for digit in _pixels(data)])


def _pixels(data: Labelled) -> Any:
    return np.rint(data.digits * 255).astype(np.uint8)
