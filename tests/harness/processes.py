"""Processes as Linux tells of them in ``/proc``."""

from __future__ import annotations

import contextlib
from pathlib import Path

_STATE, _PARENT = 0, 1  # fields of /proc/PID/stat after the command's name


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return _stat(pid)[_STATE] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def workers_of(parent: int) -> list[int]:
    """List the worker processes that a process has started."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                pid = int(process.name)
                command = (process / "cmdline").read_bytes()
                if int(_stat(pid)[_PARENT]) == parent and b"consumer.worker" in command and is_alive(pid):
                    found.append(pid)
    return sorted(found)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
