"""What the worker processes take of the machine, read from ``/proc`` when somebody asks."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_USER_TICKS: Final = 11
"""Field of /proc/PID/stat after the command's name; that of the system's ticks follows."""
_RESIDENT_PAGES: Final = 1
"""Field of /proc/PID/statm."""


class WorkerProcesses(Collector):
    """Processor time and memory of all workers together. Owner: the service; health says which processes they are."""

    def __init__(self) -> None:
        self.pids: Collection[int] = ()
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
        """Add up the seconds of processor time of those that run and of those that ended.

        One that is just ending is in neither sum for a moment. A counter that falls would be taken for one that began
        again at zero, hence never less than what was said before.
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
        for pid in self.pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                yield Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
