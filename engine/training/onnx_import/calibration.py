"""Calibrates an imported model on labelled pictures, and measures it on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.codecs.decode import Picture, decode
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.classifier import stated_confidence, unsure_masks
from engine.model.onnx.predictor import OnnxModel
from engine.model.reference import Reference
from engine.model.store import Thresholds
from engine.model.svm import Floats
from engine.training.data.labelled import DataError, list_folder
from engine.training.fit.calibrate import fit_temperature, threshold_for_share
from engine.training.fit.reference import FEWEST as REFERENCE_FEWEST
from engine.training.fit.reference import reference_of_decision
from engine.training.report.measure import Judged

FEWEST: Final = 20
"""Pictures of which a calibration says anything at all."""
_CHUNK = 256


class Calibrated(NamedTuple):
    """A model with its temperature and thresholds."""

    model: OnnxModel
    thresholds: Thresholds
    figures: dict[str, Any]
    """Measured on the half of the pictures that nothing was fitted to."""
    reference: Reference | None
    """Of the same half; None if it is too small for one."""


def calibrate(model: OnnxModel, folder: Path, unsure_share: float) -> Calibrated:
    """Fit temperature and threshold to every second picture of ``folder/LABEL/*``, and measure on the others.

    Parameters
    ----------
    model
        With temperature 1.
    folder
        Pictures that the model was not trained on.
    unsure_share
        The share of the pictures, 0 to 1, that is to be unsure.

    Raises
    ------
    DataError
        There are too few pictures, or one cannot be read.
    """
    listed = list_folder(folder)
    if len(listed) < FEWEST:
        raise DataError(f"{folder} has {len(listed)} pictures; at least {FEWEST} are needed, and thousands are better")
    labels = np.array([label for _, label in listed], np.int64)
    digits, evidence = _prepared(model, [path for path, _ in listed])
    fitted, measured = slice(0, None, 2), slice(1, None, 2)
    warm = replace(model, temperature=fit_temperature(model.scores(digits[fitted]), labels[fitted]))
    confidence = warm.decide(digits[fitted], evidence[fitted]).probabilities.max(axis=1)
    thresholds = Thresholds(confidence=threshold_for_share(confidence, unsure_share), digitness=0.0)
    decision = warm.decide(digits[measured], evidence[measured])
    unsure = np.logical_or(*unsure_masks(decision, thresholds))
    judged = Judged(labels[measured], decision.labels, stated_confidence(decision, unsure, thresholds), unsure)
    reference = reference_of_decision(decision, thresholds) if len(decision.labels) >= REFERENCE_FEWEST else None
    return Calibrated(warm, thresholds, judged.figures(), reference)


def _prepared(model: OnnxModel, paths: Sequence[Path]) -> tuple[Floats, Floats]:
    """Read pictures as the service does."""
    limits = Limits()
    chunks = [paths[first : first + _CHUNK] for first in range(0, len(paths), _CHUNK)]
    parts = [model.prepare([_decoded(path, limits) for path in chunk]) for chunk in chunks]
    digits: NDArray[np.float32] = np.concatenate([part.digits for part in parts])
    return digits, np.concatenate([part.evidence for part in parts])


def _decoded(path: Path, limits: Limits) -> Picture:
    try:
        return decode(path.read_bytes(), limits)
    except (OSError, EngineError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
