"""Where a new model goes and what its version is: never over one that is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.model.files import MANIFEST, ModelError

FOLDER: Final = Path("models")
"""New models go here, each in a folder of its own."""

_VERSION: Final = re.compile(r"(.*?)(\d+)")


def model_folder(name: str, version: str) -> Path:
    """Return the folder of a model that is given none."""
    return FOLDER / f"{name}-{version}"


def next_version(name: str, shipped: Path) -> str:
    """Count up the highest version of the models of this name: the shipped one, and those in `FOLDER`.

    Only the last number is counted up: 1.0.9 becomes 1.0.10. Without any model of this name it is 1.0.0.
    """
    known = sorted((_in_numbers(each), each) for each in _versions(name, [shipped, *FOLDER.glob("*")]))
    matched = _VERSION.fullmatch(known[-1][1]) if known else None
    return f"{matched[1]}{int(matched[2]) + 1}" if matched else "1.0.0"


def refuse_to_overwrite(path: Path, *, overwrite: bool) -> None:
    """Stop before anything is written over.

    Parameters
    ----------
    path
        What must not be there.
    overwrite
        True if it may be there.

    Raises
    ------
    ModelError
        It is there.
    """
    if path.exists() and not overwrite:
        raise ModelError(f"{path} exists: choose another folder by --out, or add --overwrite to replace it")


def _versions(name: str, folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        try:
            manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
        except (OSError, msgspec.DecodeError):  # no model: nothing to count from
            continue
        if isinstance(manifest, dict) and manifest.get("name") == name and _VERSION.fullmatch(str(manifest["version"])):
            yield str(manifest["version"])


def _in_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
