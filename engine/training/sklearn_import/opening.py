"""Reads what scikit-learn's users save: pickle and joblib, which can run code, and skops, which cannot."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import sklearn
import skops.io
from sklearn.exceptions import InconsistentVersionWarning

from engine.model.files import ARRAYS_BYTES
from engine.training.sklearn_import.errors import SklearnError

SKOPS: Final = ".skops"

TRUSTED: Final = (
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
)
"""Types of scikit-learn and scipy without code of the file's author, which skops does not know by itself."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file holds."""

    estimator: Any
    sklearn_version: str
    """Of the scikit-learn that saved it."""


def open_file(path: Path, *, trusted: bool) -> Opened:
    """Read a model as its user has saved it.

    Parameters
    ----------
    path
        Written by skops if its name ends in ``.skops``, else by pickle or joblib.
    trusted
        Whether the caller trusts the file: only then is it unpickled, which can run any code in it.

    Raises
    ------
    SklearnError
        If it cannot be read, must not be unpickled, or has types that skops does not trust.
    """
    if not path.is_file():
        raise SklearnError(f"{path} is not a file")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = _skops(path) if path.suffix == SKOPS else _pickle(path, trusted=trusted)
    of_others = [each.message for each in caught if isinstance(each.message, InconsistentVersionWarning)]
    return Opened(estimator, of_others[0].original_sklearn_version if of_others else sklearn.__version__)


def _skops(path: Path) -> Any:
    """Read a file of skops, unless it names types that are not trusted or inflates to too much."""
    try:
        _check_skops(path)
        return skops.io.load(path, trusted=list(TRUSTED))
    except SklearnError:
        raise
    except Exception as error:
        raise SklearnError(f"{path} cannot be read as a file of skops: {error}") from error


def _check_skops(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        inflated = sum(entry.file_size for entry in archive.infolist())
    if inflated > ARRAYS_BYTES:
        raise SklearnError(f"{path} inflates to {inflated:,} bytes; the most is {ARRAYS_BYTES:,}")
    untrusted = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if untrusted:
        raise SklearnError(f"{path} has types that are not trusted: {', '.join(untrusted)}")


def _pickle(path: Path, *, trusted: bool) -> Any:
    if not trusted:
        raise SklearnError(
            f"unpickling {path} runs code from it: add --i-trust-this-file, or save the model by skops as {SKOPS}"
        )
    try:
        return joblib.load(path)
    except Exception as error:
        raise SklearnError(f"{path} cannot be unpickled: {error}") from error
