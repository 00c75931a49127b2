"""Processor time and memory of processes, from Linux's ``/proc``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SESSION, _USER_TICKS, _SYSTEM_TICKS = 3, 11, 12  # fields of /proc/PID/stat after the command's name


def of_session(session: int) -> list[int]:
    """List the processes of a session: of a service with its workers, say."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if int(_stat(int(process.name))[_SESSION]) == session:
                    found.append(int(process.name))
    return found


def cpu_s(*processes: int) -> float:
    """Add up the seconds of processor time that processes have used."""
    stats = [_stat(process) for process in processes]
    return sum(int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS]) for stat in stats) / _TICKS_PER_S


def memory_bytes(kind: str, *processes: int) -> int:
    """Add up memory of processes.

    Parameters
    ----------
    kind
        ``Rss`` counts pages that several processes share once for each; ``Pss`` counts them once in all.
    processes
        Their pids.
    """
    lines = [line for each in processes for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
