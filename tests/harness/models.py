"""Models for tests: the shipped one, as any version and in an archive; worse ones, and hostile ones."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.model import store
from engine.model.files import ARRAYS, MANIFEST, ModelFiles
from models import default_model


def version_of(version: str, **changed: Any) -> ModelFiles:
    """Return the shipped model under another version, or with other fields in its manifest."""
    files = ModelFiles.read(default_model())
    manifest = msgspec.json.encode({**files.manifest, "version": version, **changed})
    return ModelFiles.checked(Path(), manifest, files.arrays_npz)


def write_folder(folder: Path, files: ModelFiles) -> Path:
    """Write a model into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(files.manifest_json)
    (folder / ARRAYS).write_bytes(files.arrays_npz)
    return folder


def archive_of(files: ModelFiles, *, inside: str = "") -> bytes:
    """Return a zip archive of a model, at its top or in a folder of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{inside}{MANIFEST}", files.manifest_json)
        archive.writestr(f"{inside}{ARRAYS}", files.arrays_npz)
    return buffer.getvalue()


def with_arrays(version: str, arrays: bytes) -> ModelFiles:
    """Return a model with other arrays, and their checksum in its manifest."""
    manifest = {**ModelFiles.read(default_model()).manifest, "version": version}
    manifest |= {"sha256": hashlib.sha256(arrays).hexdigest(), "bytes": len(arrays)}
    return ModelFiles.checked(Path(), msgspec.json.encode(manifest), arrays)


def worse_model(version: str, folder: Path) -> ModelFiles:
    """Make a model that is sound, but reads about 5 % of written digits wrongly, in a new folder."""
    weights = _arrays_of(ModelFiles.read(default_model()))["weights"].astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 1.25 * weights.std(), weights.shape)
    changed = (weights + noise).astype(np.float16)
    return _saved_model(version, folder, store.load(default_model()).thresholds, weights=changed)


def retrained_model(version: str, folder: Path) -> ModelFiles:
    """Make a model that reads as the shipped one does, but has arrays of its own, in a new folder."""
    thresholds = store.load(default_model()).thresholds
    return _saved_model(version, folder, dataclasses.replace(thresholds, confidence=0.999 * thresholds.confidence))


def unsure_model(version: str, folder: Path) -> ModelFiles:
    """Make a model that is sound, reads as the shipped one does, and is certain of nothing, in a new folder."""
    thresholds = store.load(default_model()).thresholds
    return _saved_model(version, folder, dataclasses.replace(thresholds, confidence=1.01))


def _saved_model(version: str, folder: Path, thresholds: store.Thresholds, **changed: Any) -> ModelFiles:
    files = ModelFiles.read(default_model())
    arrays = _arrays_of(files) | changed
    kept = {name: array for name, array in arrays.items() if name != "thresholds" and not name.startswith("canary")}
    about = {name: value for name, value in files.manifest.items() if name not in {"format", "sha256", "bytes"}}
    store.save(folder, kept, thresholds, {**about, "version": version})
    return ModelFiles.read(folder)


def not_finite_model(version: str) -> ModelFiles:
    """Return a model with a weight that is not a number."""
    arrays = _arrays_of(ModelFiles.read(default_model()))
    arrays["weights"][7, 3] = np.nan
    return with_arrays(version, _saved(arrays))


def pickled_model(version: str) -> ModelFiles:
    """Return a model with a pickle among its arrays, which would end the process that loads it."""
    arrays = _arrays_of(ModelFiles.read(default_model()))
    trap = np.empty(1, object)
    trap[0] = _Trap()
    return with_arrays(version, _saved({**arrays, "bias": trap}))


def bomb_model(version: str) -> ModelFiles:
    """Return a model whose arrays are small in the file, and take more than 1 GiB when they are inflated."""
    buffer = io.BytesIO(ModelFiles.read(default_model()).arrays_npz)
    zeros = bytes(1 << 24)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more.npy", "w") as entry:
        entry.write(np.lib.format.magic(1, 0) + b"\x76\x00")
        for _ in range(65):
            entry.write(zeros)
    return with_arrays(version, buffer.getvalue())


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def _arrays_of(files: ModelFiles) -> dict[str, Any]:
    with np.load(io.BytesIO(files.arrays_npz), allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _saved(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
