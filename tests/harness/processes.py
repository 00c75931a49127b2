"""Reads about processes from Linux's ``/proc``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_STATE, _PARENT, _USER_TICKS, _SYSTEM_TICKS = 0, 1, 11, 12  # fields of /proc/PID/stat after the command's name
_LIMIT_NAME = 26  # columns of /proc/PID/limits


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not yet waited for does not."""
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
                if int(_stat(pid)[_PARENT]) == parent and b"consumer.workers.worker" in command and is_alive(pid):
                    found.append(pid)
    return sorted(found)


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = _stat(pid)
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int, what: str) -> int:
    """Read memory of a process, by the name of its line: `VmRSS`, `VmHWM`, `VmPeak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def forget_high_water(pid: int) -> None:
    """Reset `VmHWM` to `VmRSS`."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def resource_limits(pid: int) -> dict[str, list[str]]:
    """Return soft and hard limit by name, as ``Max file size``."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:_LIMIT_NAME].strip(): line[_LIMIT_NAME:].split()[:2] for line in lines}


def high_water_mb(parent: int) -> float:
    """Add up the most memory that a process and its workers ever had resident, whenever each of them had it."""
    return sum(memory_bytes(pid, "VmHWM") for pid in (parent, *workers_of(parent))) / 1e6


def environment_of(pid: int) -> bytes:
    """Return the variables that a process was started with, as ``NAME=value``, each ended by a zero byte."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
