"""Processor time and memory of processes, from Linux's ``/proc``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from broker import Cluster
from tests.harness.service import Service

PEAK_PAUSE_S: Final = 0.5
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


def parts_of(cluster: Cluster, service: Service) -> dict[str, list[int]]:
    """List the processes of a running service by part: ``loop`` (the service process), ``workers`` and ``broker``."""
    loop = service.process.pid
    workers = [process for process in of_session(loop) if process != loop]
    return {"loop": [loop], "workers": workers, "broker": [node.pid for node in cluster.nodes]}


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


class PeakMemory:
    """The most memory that a process has had. Owner: the task of `peak_memory`."""

    def __init__(self, process: int) -> None:
        self._process = process
        self.pss_bytes = 0

    def look(self) -> None:
        """Take the present memory into account."""
        self.pss_bytes = max(self.pss_bytes, memory_bytes("Pss", self._process))

    @property
    def rss_bytes(self) -> int:
        """The high water mark, which Linux keeps itself. The process must be running."""
        (mark,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{self._process}/status").read_text(), re.MULTILINE)
        return int(mark) * 1024

    def in_mb(self) -> dict[str, float]:
        """Return ``pss_peak_mb`` and ``rss_peak_mb``."""
        self.look()
        return {"pss_peak_mb": self.pss_bytes / 1e6, "rss_peak_mb": self.rss_bytes / 1e6}


@contextlib.asynccontextmanager
async def peak_memory(process: int) -> AsyncIterator[PeakMemory]:
    """Follow the memory of a process for the length of an ``async with`` block.

    Linux keeps no high water mark of PSS. It is read twice a second, so a shorter peak may be missed. RSS has none of
    that: its mark counts from the start of the process.
    """
    peak = PeakMemory(process)

    async def follow() -> None:
        while True:
            peak.look()
            await asyncio.sleep(PEAK_PAUSE_S)

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow(), name=f"peak memory {process}")
        yield peak
        following.cancel()


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
