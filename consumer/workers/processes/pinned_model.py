"""A model as it was when it was fetched: every worker loads the same bytes, even if it starts later."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from consumer.workers.sealed_memory import sealed
from engine.model.files import ModelFiles, ModelInfo


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model in sealed memory. Later changes of its files have no effect. Owner: the service.

    Attributes
    ----------
    location
        Where it came from, as the setting names it; used only in messages.
    folder
        The folder that its files were read from, for messages that name a file; ``.`` if they came from a store.
    info
        Its name, version and checksum, as ``/health`` shows them.
    manifest_json
        Its manifest, for the start frame of a worker.
    arrays
        Its arrays, in memory that each worker inherits.
    """

    location: str
    folder: Path
    info: ModelInfo
    manifest_json: bytes
    arrays: BinaryIO

    @classmethod
    def of(cls, files: ModelFiles, location: str) -> PinnedModel:
        """Put a model's files into sealed memory. The caller closes the result.

        Raises
        ------
        OSError
            There is not enough memory for them.
        """
        arrays = sealed("digitstream-model", files.arrays_npz)
        return cls(location, files.folder, files.info, files.manifest_json, arrays)

    @property
    def manifest_sha256(self) -> str:
        """The checksum of the manifest, which stands for the whole model."""
        return hashlib.sha256(self.manifest_json).hexdigest()

    def close(self) -> None:
        """Release the memory. Workers that have loaded the model have their own copy."""
        self.arrays.close()
