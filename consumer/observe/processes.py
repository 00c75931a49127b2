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
"""Index of this field in /proc/PID/stat, counted after the command's name. The system ticks are the next field."""
_RESIDENT_PAGES: Final = 1
"""Index of this field in /proc/PID/statm."""


class HasPids(Protocol):
    """What is read of the worker pool."""

    @property
    def pids(self) -> Collection[int]:
        """Ids of the running worker processes."""


class WorkerProcesses(Collector):
    """Processor time and memory of all workers together. Owner: the health server.

    Parameters
    ----------
    workers
        Lists the running worker processes.
    """

    def __init__(self, workers: HasPids) -> None:
        self._workers = workers
        self._cpu_s = 0.0

    def collect(self) -> Iterator[Metric]:
        """Return the two metrics, read at each scrape; nothing on a platform without /proc."""
        if not Path("/proc/self/stat").exists():
            return
        yield CounterMetricFamily(
            "digits_worker_cpu_seconds", "Processor time of all workers, including those that have ended.", self.cpu_s()
        )
        yield GaugeMetricFamily(
            "digits_worker_resident_memory_bytes",
            "Sum of the resident memory of all workers. Shared pages count once for each worker.",
            self.resident_bytes(),
        )

    def cpu_s(self) -> float:
        """Return the processor time, in seconds, of all running and ended workers.

        For a moment, a worker that is just ending is in neither sum. Prometheus takes a counter that falls for one that
        was reset to zero, so this method never returns less than before.
        """
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the service has no other child processes
        total_s = ended.ru_utime + ended.ru_stime
        for fields in self._read("stat"):
            of_process = fields.rpartition(")")[2].split()  # the command's name may contain spaces
            user_ticks, system_ticks = of_process[_USER_TICKS : _USER_TICKS + 2]
            total_s += (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")
        self._cpu_s = max(self._cpu_s, total_s)
        return self._cpu_s

    def resident_bytes(self) -> int:
        """Return the sum of the resident memory of the running workers."""
        pages = sum(int(fields.split()[_RESIDENT_PAGES]) for fields in self._read("statm"))
        return pages * resource.getpagesize()

    def _read(self, name: str) -> Iterator[str]:
        for pid in self._workers.pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the worker has ended in the meantime
                yield Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
