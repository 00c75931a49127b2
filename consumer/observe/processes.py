"""Processor time and memory of the worker processes, read from ``/proc`` at each scrape."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_USER_TICKS: Final = 11
"""Field of /proc/PID/stat after the command's name; that of the system's ticks follows."""
_RESIDENT_PAGES: Final = 1
"""Field of /proc/PID/statm."""


class HasPids(Protocol):
    """The worker pool."""

    @property
    def pids(self) -> Collection[int]:
        """The processes that run."""


class WorkerProcesses(Collector):
    """Processor time and memory of all workers together. Owner: the health server.

    Parameters
    ----------
    workers
        Names the processes that run.
    """

    def __init__(self, workers: HasPids) -> None:
        self._workers = workers
        self._cpu_s = 0.0

    def collect(self) -> Iterator[Metric]:
        """Read the figures; called at each scrape. Where there is no /proc there are none."""
        if not Path("/proc/self/stat").exists():
            return
        yield CounterMetricFamily(
            "digits_worker_cpu_seconds", "Processor time of all workers, also of those that ended.", self.cpu_s()
        )
        yield GaugeMetricFamily(
            "digits_worker_resident_memory_bytes",
            "Resident memory of all workers added up; pages that they share count for each of them.",
            self.resident_bytes(),
        )

    def cpu_s(self) -> float:
        """Add up the seconds of processor time of the workers that run and of those that ended.

        A worker that is just ending is in neither sum for a moment. Prometheus would take a counter that falls for one
        that began again at zero, so the sum is never less than the one before.
        """
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # workers are the only children of the service
        total_s = ended.ru_utime + ended.ru_stime
        for fields in self._read("stat"):
            of_process = fields.rpartition(")")[2].split()  # the command's name may hold blanks
            user_ticks, system_ticks = of_process[_USER_TICKS : _USER_TICKS + 2]
            total_s += (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")
        self._cpu_s = max(self._cpu_s, total_s)
        return self._cpu_s

    def resident_bytes(self) -> int:
        """Add up the resident memory of those that run."""
        pages = sum(int(fields.split()[_RESIDENT_PAGES]) for fields in self._read("statm"))
        return pages * resource.getpagesize()

    def _read(self, name: str) -> Iterator[str]:
        for pid in self._workers.pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                yield Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
