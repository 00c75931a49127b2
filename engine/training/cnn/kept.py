"""Keeps what a training has reached after each epoch, in one file that the next epoch replaces."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Kept:
    """The state of one training, in a file.

    Parameters
    ----------
    path
        The file; it need not exist.
    made_from
        The fingerprint of the training's inputs: the state of a training with another one is not used.
    """

    def __init__(self, path: Path, made_from: str) -> None:
        self._path = path
        self._made_from = made_from

    def keep(self, epochs: int, state: Sequence[NDArray[Any]]) -> None:
        """Replace the file by the state after some epochs."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished.npz")
        arrays = {f"state{number}": array for number, array in enumerate(state)}
        np.savez(unfinished, allow_pickle=False, epochs=epochs, made_from=np.array(self._made_from), **arrays)
        unfinished.replace(self._path)

    def reached(self) -> tuple[int, list[NDArray[Any]]]:
        """Return the number of epochs and the state after them; 0 and nothing if there is no usable file."""
        try:
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if str(file["made_from"]) != self._made_from:
                    return 0, []
                return int(file["epochs"]), [file[f"state{number}"] for number in range(len(file.files) - 2)]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            return 0, []
