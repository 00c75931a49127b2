"""Stages that are kept: a training that was stopped goes on where it was.

Each stage's arrays lie in the work folder under its name, with a fingerprint of everything they were made from.
Another seed, other data or another plan is another fingerprint, and the stage is done anew.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_FINGERPRINT = "fingerprint"


def fingerprint(*made_from: Any) -> str:
    """Name what a stage is made from: arrays by their bytes, everything else by its JSON form (dataclasses too)."""
    digest = hashlib.sha256()
    for thing in made_from:
        array = isinstance(thing, np.ndarray)
        digest.update(np.ascontiguousarray(thing).data if array else msgspec.json.encode(thing, order="sorted"))
    return digest.hexdigest()


def arrays_of(made: Any) -> Arrays:
    """Take a dataclass of arrays and numbers apart."""
    return {item.name: np.asarray(getattr(made, item.name)) for item in fields(made)}


class Stages:
    """The stages kept in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, name: str, made_from: str, make: Callable[[], Arrays]) -> Arrays:
        """Return a stage's arrays: those kept if they were made from the same, else make and keep them.

        Parameters
        ----------
        name
            Of the stage, and of its file.
        made_from
            Its fingerprint.
        make
            Does the work.
        """
        path = self._folder / f"{name}.npz"
        kept = _read(path)
        if kept is not None and str(kept.pop(_FINGERPRINT)) == made_from:
            return kept
        made = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole, so that a stage that was stopped in the middle is not taken for done.
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez(unfinished, allow_pickle=False, **made, **{_FINGERPRINT: np.array(made_from)})
        unfinished.replace(path)
        return made


def _read(path: Path) -> Arrays | None:
    """Read a kept stage; None if there is none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return arrays if _FINGERPRINT in arrays else None
