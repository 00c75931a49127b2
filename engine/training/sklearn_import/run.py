"""Makes a model folder of a file that scikit-learn's users have saved, so that serving it needs no pickle."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.codecs.decode import Picture
from engine.model import store as model
from engine.model.frame import Frame
from engine.model.imported import predictor
from engine.model.imported.features import Features
from engine.model.imported.predictor import Imported
from engine.model.reference_digits import draw_reference_digits
from engine.model.store import Model, Thresholds
from engine.training.sklearn_import.calibration import Parts, parts_of
from engine.training.sklearn_import.errors import SklearnError
from engine.training.sklearn_import.opening import open_file

_TOLERANCE = 1e-4  # of probabilities: what rounding in single precision, in which some are trained, explains


@dataclass(frozen=True, slots=True)
class Naming:
    """Name and version of the imported model."""

    name: str | None
    """None for one that says what it is."""
    version: str


def import_sklearn(
    path: Path, folder: Path, frame: Frame, features: Features, naming: Naming, *, trusted: bool = False
) -> Model:
    """Convert a model of scikit-learn into a model folder.

    Parameters
    ----------
    path
        Written by skops if its name ends in ``.skops``, else by pickle or joblib.
    folder
        Where the model goes.
    frame, features
        The form of the training pictures, and the features that the model was trained with.
    naming
        Name and version for the manifest.
    trusted
        Whether the caller trusts the file: only then is it unpickled, which can run any code in it.

    Raises
    ------
    SklearnError
        If the file has something else, its parts do not fit together, or scikit-learn reads the reference digits
        differently.
    """
    opened = open_file(path, trusted=trusted)
    try:
        parts = parts_of(opened.estimator)
        imported = Imported(frame, features, parts.members, by_probability=parts.by_probability)
        _compare(imported, opened.estimator, parts)
    except (SklearnError, ValueError) as error:
        raise SklearnError(f"{path} cannot be imported: {error}") from error
    described = predictor.about(imported)
    about = {
        **described,
        "name": naming.name or f"imported-{described['kind']}",
        "version": naming.version,
        "imported": {"file": path.name, "scikit_learn": opened.sklearn_version},
        "calibrated": parts.calibrated,
    }
    nothing_is_unsure = Thresholds(confidence=0.0, digitness=0.0)
    return model.save(folder, predictor.to_arrays(imported), nothing_is_unsure, about)


def _compare(imported: Imported, estimator: Any, parts: Parts) -> None:
    """Read the reference digits with scikit-learn, too: it must come to the same digits and probabilities."""
    digits = imported.prepare([Picture(picture) for picture in draw_reference_digits()]).digits
    features = imported.describe(digits)
    labels, probabilities = imported.believe(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that a model which was trained with names of columns gets none
        try:
            expected = np.searchsorted(estimator.classes_, estimator.predict(features))
            theirs = estimator.predict_proba(features) if parts.calibrated and not parts.outdated else probabilities
        except Exception as error:
            raise SklearnError(f"the installed scikit-learn cannot predict with it: {error}") from error
    difference = float(np.abs(probabilities - theirs).max())
    if difference > _TOLERANCE or (labels != expected).any():
        raise SklearnError(
            f"scikit-learn reads the reference digits as {expected.tolist()}, the imported model as {labels.tolist()}; "
            f"probabilities differ by up to {difference:.2g}"
        )
