"""Models that were fetched, in a folder of this machine, named by their checksum; for starts without the store.

::

    SHA256/manifest.json, model.npz   a model; SHA256 is its manifest's
    locations/SHA256                  which model a location had when it was last fetched; SHA256 is its name's

Several processes may use a cache at once: everything is written beside its place and renamed. It may be emptied at any
time. What is in it is checked again whenever it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.model.files import ARRAYS, MANIFEST, ModelError, ModelFiles, is_sha256


def default_cache() -> Path:
    """Return the folder for models in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitstream" / "models"


class Cache:
    """A cache folder, made when something is first kept.

    Parameters
    ----------
    folder
        Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, manifest_sha256: str) -> ModelFiles | None:
        """Return a model, if it is there and undamaged."""
        try:
            files = ModelFiles.read(self._folder / manifest_sha256)
        except ModelError:
            return None
        return files if files.manifest_sha256 == manifest_sha256 else None

    def last_of(self, location: str) -> ModelFiles | None:
        """Return the model that was last fetched from a location, if it is there and undamaged."""
        try:
            manifest_sha256 = self._note(location).read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        return self.find(manifest_sha256) if is_sha256(manifest_sha256) else None

    def keep(self, location: str, files: ModelFiles) -> None:
        """Keep a model, and note that it is what a location has now.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        if self.find(files.manifest_sha256) is None:
            with self._beside() as unfinished:
                (unfinished / MANIFEST).write_bytes(files.manifest_json)
                (unfinished / ARRAYS).write_bytes(files.arrays_npz)
                place = self._folder / files.manifest_sha256
                try:
                    unfinished.replace(place)
                except OSError:  # something is there: what another process has just kept, or a damaged one
                    if self.find(files.manifest_sha256) is None:
                        shutil.rmtree(place)
                        unfinished.replace(place)
        note = self._note(location)
        note.parent.mkdir(exist_ok=True)
        with self._beside() as unfinished:
            (unfinished / note.name).write_text(files.manifest_sha256, encoding="ascii")
            (unfinished / note.name).replace(note)

    def _note(self, location: str) -> Path:
        return self._folder / "locations" / hashlib.sha256(location.encode()).hexdigest()

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self._folder))
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
