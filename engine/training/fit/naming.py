"""Chooses the folder and the version of a new model, so that no existing model is overwritten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.model.files import MANIFEST, ModelError

FOLDER: Final = Path("models")
"""New models are written here, each to its own folder."""

_VERSION: Final = re.compile(r"(.*?)(\d+)")


def model_folder(name: str, version: str) -> Path:
    """Return the default folder of a model."""
    return FOLDER / f"{name}-{version}"


def next_version(name: str, shipped: Path) -> str:
    """Return the version after the highest one of this name, among the shipped model and those in `FOLDER`.

    The last number is increased: 1.0.9 becomes 1.0.10. The first model of a name gets 1.0.0.
    """
    known = sorted((_in_numbers(each), each) for each in _versions(name, [shipped, *FOLDER.glob("*")]))
    matched = _VERSION.fullmatch(known[-1][1]) if known else None
    return f"{matched[1]}{int(matched[2]) + 1}" if matched else "1.0.0"


def refuse_to_overwrite(path: Path, *, overwrite: bool) -> None:
    """Raise an error if a file would be overwritten without permission.

    Parameters
    ----------
    path
        The file that must not exist.
    overwrite
        True if it may exist.

    Raises
    ------
    ModelError
        It exists.
    """
    if path.exists() and not overwrite:
        raise ModelError(f"{path} exists: choose another folder by --out, or add --overwrite to replace it")


def _versions(name: str, folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        try:
            manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
        except (OSError, msgspec.DecodeError):  # not a model
            continue
        if isinstance(manifest, dict) and manifest.get("name") == name and _VERSION.fullmatch(str(manifest["version"])):
            yield str(manifest["version"])


def _in_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
