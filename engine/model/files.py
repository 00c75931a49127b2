"""Reads the two files of a model into memory and compares them with their checksum.

    manifest.json   what it is and how good: name, version, format, the other file's name and sha256
    model.npz       named arrays (a zip of .npy files), which `engine.model.store` reads

These checks need neither numpy nor a codec, so a process that must not decode anything can run them. Every failure
raises `ModelError`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.model.reference import reference_of

FORMAT: Final = 1
KINDS: Final = ("compact", "linear", "svc", "onnx")
MANIFEST: Final = "manifest.json"
ARRAYS: Final = "model.npz"

MANIFEST_BYTES: Final = 1 << 20
ARRAYS_BYTES: Final = 1 << 30
"""An imported machine may have tens of thousands of support vectors."""

_SHA256: Final = re.compile("[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Return whether this is a checksum as manifests hold it: 64 hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


class ModelError(Exception):
    """The model cannot be used; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The identity of a model, published with each prediction."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The bytes of both files. Created by `read`, or by `checked` from bytes that are already in memory.

    Attributes
    ----------
    folder
        Where they were read; used in messages only.
    manifest_json, arrays_npz
        The files' contents.
    manifest
        The manifest parsed; the fields that loading needs exist and have the right type.
    """

    folder: Path
    manifest_json: bytes
    arrays_npz: bytes
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ModelFiles:
        """Read both files and check them.

        Raises
        ------
        ModelError
            A file is missing, too large or damaged, or this version does not know the format.
        """
        return cls.checked(folder, _content(folder / MANIFEST, MANIFEST_BYTES), _content(folder / ARRAYS, ARRAYS_BYTES))

    @classmethod
    def checked(cls, folder: Path, manifest_json: bytes, arrays_npz: bytes) -> ModelFiles:
        """Check bytes that were read before.

        Raises
        ------
        ModelError
            As for `read`.
        """
        manifest = cls.manifest_of(folder, manifest_json)
        found = hashlib.sha256(arrays_npz).hexdigest()
        if found != manifest["sha256"]:
            raise ModelError(
                f"{folder / ARRAYS} is damaged or belongs to another model: its sha256 is {found}, "
                f"the manifest says {manifest['sha256']}"
            )
        return cls(folder, manifest_json, arrays_npz, manifest)

    @staticmethod
    def manifest_of(folder: Path, manifest_json: bytes) -> dict[str, Any]:
        """Check a manifest alone, before the arrays that it names are read.

        Raises
        ------
        ModelError
            It is not a manifest that this version can read.
        """
        return _manifest(folder / MANIFEST, manifest_json)

    @property
    def manifest_sha256(self) -> str:
        """The checksum of the manifest, which holds that of the arrays: it stands for the whole model."""
        return hashlib.sha256(self.manifest_json).hexdigest()

    @property
    def info(self) -> ModelInfo:
        """Name, version and checksum of the model."""
        return ModelInfo(self.manifest["name"], self.manifest["version"], self.manifest["sha256"])


def _content(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ModelError(f"{path} has more than {most_bytes:,} bytes, the most that is read")
    return content


def _manifest(path: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path} is not a manifest of format {FORMAT}, the one that this version reads")
    for field in ("kind", "name", "version", "sha256"):
        if not isinstance(manifest.get(field), str):
            raise ModelError(f"{path} lacks the field {field}")
    if not is_sha256(manifest["sha256"]):
        raise ModelError(f"{path}: sha256 is not a checksum of 64 hexadecimal digits")
    if manifest["kind"] not in KINDS:
        raise ModelError(f"{path} describes a model of kind {manifest['kind']!r}; known are {', '.join(KINDS)}")
    try:
        reference_of(manifest)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    return manifest
