"""The model as it was when the service started: the same bytes for every worker, also for those that start later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from consumer.workers.sealed_memory import sealed
from engine.model.files import ModelFiles, ModelInfo


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model in sealed memory. What happens to its files meanwhile changes nothing. Owner: the service.

    Attributes
    ----------
    folder
        Where it was read: for messages alone.
    info
        Its name, version and checksum: what ``/health`` names.
    manifest_json
        Its manifest, for the frame that a worker is started with.
    arrays
        Its arrays: memory that each worker inherits.
    """

    folder: Path
    info: ModelInfo
    manifest_json: bytes
    arrays: BinaryIO

    @classmethod
    def read(cls, folder: Path) -> PinnedModel:
        """Read a model's files, and check them; to be closed by the caller.

        Raises
        ------
        ModelError
            They cannot be read, are damaged, or are no model that this version knows.
        OSError
            There is no memory for them.
        """
        files = ModelFiles.read(folder)
        return cls(folder, files.info, files.manifest_json, sealed("digitstream-model", files.arrays_npz))

    def close(self) -> None:
        """Let go of the memory; workers that have loaded the model keep what they have read."""
        self.arrays.close()
