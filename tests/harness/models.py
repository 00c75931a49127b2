"""Models for tests: the shipped one, as any version, and in an archive."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import msgspec

from engine.model.files import ARRAYS, MANIFEST, ModelFiles
from models import default_model


def version_of(version: str, **changed: str) -> ModelFiles:
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
