"""Keeps the result of each training stage, so that an interrupted training continues with the next stage.

The arrays of a stage are saved in the work folder under its name, with a fingerprint of all its inputs. If the seed,
the data, the plan or the code changes, the fingerprint differs and the stage runs again.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_FINGERPRINT = "fingerprint"


def fingerprint(*made_from: Any) -> str:
    """Hash the inputs of a stage: arrays by their bytes, all others by their JSON form (dataclasses too)."""
    digest = hashlib.sha256()
    for thing in made_from:
        array = isinstance(thing, np.ndarray)
        digest.update(np.ascontiguousarray(thing).data if array else msgspec.json.encode(thing, order="sorted"))
    return digest.hexdigest()


class Stages:
    """The stages kept in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, name: str, made_from: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a stage: the saved ones if their inputs are the same, else compute and save them.

        Parameters
        ----------
        name
            Name of the stage and of its file.
        made_from
            The fingerprint of its inputs.
        make
            Computes the arrays.
        """
        path = self._folder / f"{name}.npz"
        kept = _read(path)
        if kept is not None and str(kept.pop(_FINGERPRINT)) == made_from:
            return kept
        made = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        # The file gets its name when it is complete, so that an interrupted stage is not taken for finished.
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez(unfinished, allow_pickle=False, **made, **{_FINGERPRINT: np.array(made_from)})
        unfinished.replace(path)
        return made


def _read(path: Path) -> Arrays | None:
    """Read a saved stage; None if there is none or it cannot be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    return arrays if _FINGERPRINT in arrays else None
