"""The model: numbers only, checked before anything is read with them.

A model is a folder of two files, whose bytes `engine.model.files` reads. Loading compares the checksum, then names,
shapes, dtypes and finiteness (pickle is switched off), and at last reads the canary digits that the file carries along,
from the picture on: they must come out as they did when the model was saved. Whatever is wrong raises `ModelError`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model import compact, svc
from engine.model.canary import canary_digits
from engine.model.files import ARRAYS, FORMAT, MANIFEST, ModelError, ModelFiles, ModelInfo
from engine.model.svm import Decision, Floats

Array = NDArray[Any]  # of any numbers: `_arrays` has seen to that

_TOLERANCE = 1e-3  # of a canary's probabilities: other processors round differently, a damaged model is far off


class Reads(Protocol):
    """What every kind of model does."""

    def see(self, pictures: Sequence[Picture]) -> Canvas:
        """Bring pictures to the digits (n, side, side) and the evidence (n, e) that `decide` takes."""
        ...

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits, with the evidence of their pictures."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Below either of them a reading is unsure."""

    confidence: float
    """Probability of the likeliest digit."""
    digitness: float
    """Log odds that this is a digit at all."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as loaded: verified."""

    info: ModelInfo
    reads: Reads
    thresholds: Thresholds
    manifest: Mapping[str, Any]


_KINDS: dict[str, Callable[[Mapping[str, Array], Mapping[str, Any]], Reads]] = {
    compact.KIND: compact.from_arrays,
    svc.KIND: svc.from_arrays,
}


def load(folder: Path) -> Model:
    """Read and verify a model.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the canary digits do not come out as recorded.
    """
    return load_files(ModelFiles.read(folder))


def load_files(files: ModelFiles) -> Model:
    """Verify a model whose files have been read; the disk is not asked again.

    Raises
    ------
    ModelError
        If the arrays are not what the manifest describes, or the canary digits do not come out as recorded.
    """
    path, manifest = files.folder / ARRAYS, files.manifest
    arrays = _arrays(files.arrays_npz, path)
    try:
        reads = _KINDS[manifest["kind"]](arrays, manifest)
        thresholds = Thresholds(*(float(value) for value in arrays["thresholds"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} does not hold the model that its manifest describes: {error}") from error
    _try_canaries(reads, arrays, path)
    return Model(files.info, reads, thresholds, manifest)


def save(folder: Path, arrays: Mapping[str, Array], thresholds: Thresholds, about: Mapping[str, Any]) -> Model:
    """Write a model and read it back.

    Parameters
    ----------
    folder
        Made if it is not there; its model, if it has one, is replaced.
    arrays
        What the kind of model stores.
    thresholds
        Below them a reading is unsure.
    about
        The manifest's further fields; `kind`, `name` and `version` must be among them.
    """
    reads = _KINDS[about["kind"]](arrays, about)
    pictures = canary_digits()
    decision = _read(reads, pictures)
    everything = {
        **arrays,
        "thresholds": np.array([thresholds.confidence, thresholds.digitness], np.float32),
        "canary_digits": pictures,
        "canary_probabilities": decision.probabilities,
        "canary_digitness": decision.digitness,
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
    """Write numpy's numbers as JSON's."""
    return number.item()


def _arrays(content: bytes, path: Path) -> dict[str, Array]:
    """Parse the arrays; every number is finite."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not an archive of arrays: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ModelError(f"{path}: {name} holds no numbers but {array.dtype}")
        if not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} has a value that is not finite")
    return arrays


def _read(reads: Reads, pictures: Array) -> Decision:
    """Read the canaries as the service reads any picture, so that a canvas other than the model's is noticed too."""
    canvas = reads.see([Picture(picture) for picture in pictures])
    return reads.decide(canvas.digits, canvas.evidence)


def _try_canaries(reads: Reads, arrays: Mapping[str, Array], path: Path) -> None:
    """Read the canary digits; they must come out as they did when the model was saved."""
    try:
        decision = _read(reads, arrays["canary_digits"])
        off = max(
            float(np.abs(decision.probabilities - arrays["canary_probabilities"]).max()),
            float(np.abs(decision.digitness - arrays["canary_digitness"]).max()) / 10,
        )
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: the canary digits cannot be read: {error}") from error
    if not off <= _TOLERANCE:
        raise ModelError(
            f"{path}: the canary digits come out differently from when the model was saved (off by {off:.2g}, "
            f"at most {_TOLERANCE:g} is rounding): the arrays are damaged, or this version prepares pictures otherwise"
        )
