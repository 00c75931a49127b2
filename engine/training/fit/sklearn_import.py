"""Converts a pickled scikit-learn model to this project's format, so that serving it needs no pickle.

Unpickling can run any code in the file, so the caller must trust it and confirm that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from engine.model import store as model
from engine.model import svc
from engine.model.block_hog import BlockHog
from engine.model.store import Model, Thresholds
from engine.model.svc import Kernel, Svc
from engine.model.svc_frame import Frame
from engine.model.svm import DIGITS

_TEMPERATURE = 0.2  # of votes, if there are no probabilities: one vote more gives 0.99, without calibration


class SklearnError(Exception):
    """The file holds no model that can be imported; the message says why."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Name and version of the imported model."""

    name: str
    version: str


def import_sklearn(path: Path, folder: Path, frame: Frame, hog: BlockHog, naming: Naming) -> Model:
    """Convert a pickled SVC over scikit-image's HOG into a model folder.

    Parameters
    ----------
    path
        Written by pickle or joblib: an SVC, or a Pipeline whose only step is one.
    folder
        Where the model goes.
    frame, hog
        The form of the training pictures, and the HOG parameters.
    naming
        Name and version for the manifest.

    Raises
    ------
    SklearnError
        If the file holds something else, or its parts do not fit together.
    """
    machine = _svc(path)
    try:
        imported = Svc(frame=frame, hog=hog, temperature=_TEMPERATURE, **_arrays(machine))
    except ValueError as error:
        raise SklearnError(f"{path} does not fit these options: {error}") from error
    about = {
        "kind": svc.KIND,
        "name": naming.name,
        "version": naming.version,
        "frame": asdict(frame),
        "hog": asdict(hog),
        "kernel": asdict(imported.kernel),
        "imported": {"file": path.name, "support_vectors": len(imported.support)},
        "calibrated": bool(imported.pairwise.shape[1]),
    }
    nothing_is_unsure = Thresholds(confidence=0.0, digitness=0.0)
    return model.save(folder, svc.to_arrays(imported), nothing_is_unsure, about)


def _svc(path: Path) -> SVC:
    """Unpickle the file and find the SVC; options that differ from libsvm's voting are refused."""
    try:
        found = joblib.load(path)
    except Exception as error:
        raise SklearnError(f"{path} cannot be unpickled: {error}") from error
    if isinstance(found, Pipeline) and len(found.steps) == 1:
        found = found.steps[0][1]
    if not isinstance(found, SVC):
        raise SklearnError(f"{path} holds a {type(found).__name__}; an SVC is needed")
    if not hasattr(found, "support_vectors_"):
        raise SklearnError(f"{path} holds an SVC that is not fitted")
    if [str(label) for label in found.classes_] != [str(digit) for digit in range(DIGITS)]:
        raise SklearnError(f"{path} has the classes {list(found.classes_)}; the digits 0 to 9 are needed in order")
    if not isinstance(found.kernel, str) or found.kernel not in svc.KERNELS:
        raise SklearnError(f"{path} has the kernel {found.kernel!r}; known are {', '.join(svc.KERNELS)}")
    if found.break_ties:
        raise SklearnError(f"{path} breaks ties by its scores (break_ties=True), which is not supported")
    return found


def _arrays(machine: SVC) -> Mapping[str, Any]:
    """Extract the arrays of the SVC. Private fields hold what libsvm uses; the public ones are derived from them."""
    kernel = Kernel(machine.kernel, float(machine._gamma), float(machine.coef0), int(machine.degree))  # noqa: SLF001  # gamma as "scale" was resolved, published nowhere else
    return {
        "kernel": kernel,
        "support": _dense(machine.support_vectors_),
        "counts": np.asarray(machine.n_support_, np.int64),
        "duals": _dense(machine.dual_coef_),
        "intercept": np.asarray(machine.intercept_, np.float64),
        "pairwise": _pairwise(machine),
    }


def _pairwise(machine: SVC) -> NDArray[np.float64]:
    """Return slope and offset of each pair; there are none unless the model was trained with probabilities."""
    return np.asarray([machine._probA, machine._probB], np.float64).reshape(2, -1)  # noqa: SLF001  # the public names warn


def _dense(values: Any) -> NDArray[np.float64]:
    """Convert to a dense array."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)
