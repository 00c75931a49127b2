"""The model as it was when the service started: every worker loads the same bytes, even if it starts later."""

from __future__ import annotations

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
    folder
        The folder that it was read from; used only in messages.
    info
        Its name, version and checksum, as ``/health`` shows them.
    manifest_json
        Its manifest, for the start frame of a worker.
    arrays
        Its arrays, in memory that each worker inherits.
    """

    folder: Path
    info: ModelInfo
    manifest_json: bytes
    arrays: BinaryIO

    @classmethod
    def read(cls, folder: Path) -> PinnedModel:
        """Read and check a model's files. The caller closes the result.

        Raises
        ------
        ModelError
            The files cannot be read, are damaged, or have a format that this version does not know.
        OSError
            There is not enough memory for them.
        """
        files = ModelFiles.read(folder)
        return cls(folder, files.info, files.manifest_json, sealed("digitstream-model", files.arrays_npz))

    def close(self) -> None:
        """Release the memory. Workers that have loaded the model have their own copy."""
        self.arrays.close()
