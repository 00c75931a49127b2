"""Loads and saves models: arrays of numbers, verified before the first prediction.

A model is a folder of two files, which `engine.model.files` reads. Loading compares the checksum, then names, shapes,
dtypes and finiteness; pickle is disabled. Last comes a self-test: the file holds ten reference digits with the results
that the model gave when it was saved. They are read again, starting with the picture, and the results must agree.
Every failure raises `ModelError`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.archive.directory import directory
from engine.codecs.decode import Picture
from engine.errors import EngineError
from engine.limits import Limits
from engine.model import compact
from engine.model.files import ARRAYS, ARRAYS_BYTES, FORMAT, MANIFEST, ModelError, ModelFiles, ModelInfo
from engine.model.imported import predictor as imported
from engine.model.onnx import predictor as onnx
from engine.model.reference import Reference, reference_of
from engine.model.reference_digits import draw_reference_digits
from engine.model.svm import Decision, Floats

Array = NDArray[Any]  # of numbers: `_arrays` has checked that

_MOST_ARRAYS = 1_000
_TOLERANCE = 1e-3  # of the reference digits' probabilities: other processors round differently, damage is far larger
_LOG_TOLERANCE = 1e-2  # of the logarithms of all: of a digit that is certain, only the small ones change visibly
_LEAST = 1e-6  # smaller probabilities count as this
_REFERENCE = "canary_digits"  # the names in the file, which existing models have
_REFERENCE_PROBABILITIES = "canary_probabilities"
_REFERENCE_DIGITNESS = "canary_digitness"


class Predictor(Protocol):
    """The interface of every kind of model."""

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the digits (n, side, side) and the evidence (n, e) that `decide` takes."""
        ...

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits, with the evidence of their pictures."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Below either of the first two a reading is unsure; the other two say what its confidence is then."""

    confidence: float
    """Probability of the likeliest digit."""
    digitness: float
    """Log odds that this is a digit at all."""
    presence_slope: float = 1.0
    """Factor of the digitness in the log odds that an unsure picture shows a digit. Imported models may have none."""
    presence_offset: float = 0.0
    """Added to them."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded and verified model."""

    info: ModelInfo
    predictor: Predictor
    thresholds: Thresholds
    manifest: Mapping[str, Any]
    reference: Reference | None = None
    """What its readings look like on pictures as it expects them; None if the manifest does not say."""


_KINDS: dict[str, Callable[[Mapping[str, Array], Mapping[str, Any]], Predictor]] = {
    compact.KIND: compact.from_arrays,
    **dict.fromkeys(imported.KINDS, imported.from_arrays),
    onnx.KIND: onnx.from_arrays,
}


def load(folder: Path) -> Model:
    """Read and verify a model.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the reference digits give other results than recorded.
    """
    return load_files(ModelFiles.read(folder))


def load_files(files: ModelFiles) -> Model:
    """Verify a model whose files have already been read; nothing more is read from the disk.

    Raises
    ------
    ModelError
        If the arrays are not what the manifest describes, or the reference digits give other results than recorded.
    """
    path, manifest = files.folder / ARRAYS, files.manifest
    arrays = _arrays(files.arrays_npz, path)
    try:
        predictor = _KINDS[manifest["kind"]](arrays, manifest)
        thresholds = Thresholds(*(float(value) for value in arrays["thresholds"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} does not hold the model that its manifest describes: {error}") from error
    _self_test(predictor, arrays, path)
    return Model(files.info, predictor, thresholds, manifest, reference_of(manifest))


def save(folder: Path, arrays: Mapping[str, Array], thresholds: Thresholds, about: Mapping[str, Any]) -> Model:
    """Write a model and read it back.

    Parameters
    ----------
    folder
        Created if it does not exist; a model in it is replaced.
    arrays
        What the kind of model stores.
    thresholds
        Readings below them are unsure.
    about
        The manifest's further fields; `kind`, `name` and `version` must be among them.
    """
    predictor = _KINDS[about["kind"]](arrays, about)
    pictures = draw_reference_digits()
    decision = _predict(predictor, pictures)
    everything = {
        **arrays,
        "thresholds": np.array(astuple(thresholds), np.float32),
        _REFERENCE: pictures,
        _REFERENCE_PROBABILITIES: decision.probabilities,
        _REFERENCE_DIGITNESS: decision.digitness,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **everything)
    content = buffer.getvalue()
    manifest = {"format": FORMAT, **about, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARRAYS).write_bytes(content)
    (folder / MANIFEST).write_bytes(
        msgspec.json.format(msgspec.json.encode(manifest, enc_hook=_plain_number), indent=2) + b"\n"
    )
    return load(folder)


def _plain_number(number: Any) -> Any:
    """Convert a numpy number for the JSON encoder."""
    return number.item()


def _arrays(content: bytes, path: Path) -> dict[str, Array]:
    """Parse the arrays, unless they inflate to too much, and check that all of them are finite numbers."""
    try:
        entries = directory(content, Limits(entries=_MOST_ARRAYS, inflated_bytes=ARRAYS_BYTES))
        if (inflated := sum(entry.inflated_bytes for entry in entries)) > ARRAYS_BYTES:
            raise ModelError(f"{path}: the arrays inflate to {inflated:,} bytes; the most is {ARRAYS_BYTES:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (
        EngineError,
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        NotImplementedError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise ModelError(f"{path} is not an archive of arrays: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ModelError(f"{path}: {name} holds no numbers but {array.dtype}")
        if not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} has a value that is not finite")
    return arrays


def _predict(predictor: Predictor, pictures: Array) -> Decision:
    """Read the reference digits from the picture on, so that a change of the canvas is noticed too."""
    canvas = predictor.prepare([Picture(picture) for picture in pictures])
    return predictor.decide(canvas.digits, canvas.evidence)


def _self_test(predictor: Predictor, arrays: Mapping[str, Array], path: Path) -> None:
    """Compare the results of the reference digits with those that were saved with the model."""
    try:
        decision, expected = _predict(predictor, arrays[_REFERENCE]), arrays[_REFERENCE_PROBABILITIES]
        logs = np.log(decision.probabilities + _LEAST) - np.log(expected + _LEAST)
        log_odds = decision.digitness - arrays[_REFERENCE_DIGITNESS]
        differences = [
            (decision.probabilities - expected) / _TOLERANCE,
            logs / _LOG_TOLERANCE,
            log_odds / _LOG_TOLERANCE,
        ]
        off = float(np.max([np.abs(each).max() for each in differences]))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: the reference digits cannot be read: {error}") from error
    if not off <= 1:
        raise ModelError(
            f"{path}: the reference digits come out differently from when the model was saved ({off:.2g} times as far "
            "as rounding explains): the arrays are damaged, or this version treats pictures differently"
        )
