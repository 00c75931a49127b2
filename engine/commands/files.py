"""Reads files and folders as payloads, in groups of a bounded size."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.limits import Limits

STANDARD_INPUT = Path("-")
"""To read a file of this name, give its absolute path."""
_GROUP_FILES = 256
_GROUP_BYTES = 32 << 20


def list_files(paths: Sequence[Path]) -> list[Path]:
    """List the named files; for a folder all files in it and below that are not hidden, in order.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    """
    files: list[Path] = []
    for path in paths:
        if path == STANDARD_INPUT:
            files.append(path)
        elif path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            files += sorted(file for file in inside if not _is_hidden(file.relative_to(path)))
        elif path.exists():
            files.append(path)
        else:
            raise FileNotFoundError(f"{path} does not exist")
    return files


def read_groups(files: Sequence[Path], limits: Limits) -> Iterator[list[tuple[Path, bytes]]]:
    """Read files group by group; of a file above the limit only one byte more than the limit, so that it is refused.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    group: list[tuple[Path, bytes]] = []
    size = 0
    for path in files:
        with contextlib.nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else path.open("rb") as file:
            payload = file.read(limits.record_bytes + 1)
        group.append((path, payload))
        size += len(payload)
        if len(group) == _GROUP_FILES or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
