"""The three instances of the service. Each is started again when it has ended, and keeps its history."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.chaos.timeline import Timeline
from tests.harness.processes import workers_of
from tests.harness.service import START_DEADLINE_S, Service, ServiceEndedError, starting_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

DRAIN_DEADLINE_S: Final = 60.0
"""From SIGTERM to the end. The service has 20 s to drain, and may have to wait for brokers."""
WORKERS: Final = 2
"""Of each instance, the default."""
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Assignment:
    """The group gave partitions to an instance."""

    at_s: float
    partitions: frozenset[int]


class Instance:
    """One of three instances. Owner: the track of its faults. Only `keep` starts it again without a request.

    Parameters
    ----------
    name
        Shown to people.
    broker, env
        As for `starting_service`.
    logs
        The folder for its log.
    """

    def __init__(self, name: str, broker: Broker, env: Mapping[str, str], logs: Path, timeline: Timeline) -> None:
        self.name = name
        self._broker = broker
        self._env = env
        self._log = logs / f"{name.replace(' ', '-')}.log"
        self._timeline = timeline
        self._past: list[Assignment] = []
        self._held = contextlib.AsyncExitStack()
        self._changing = asyncio.Lock()  # its track and `keep` may both find that it has ended
        self.service: Service | None = None
        self.starts = 0

    async def start(self) -> None:
        """Start it, and return at once."""
        async with self._changing:
            await self._start()

    async def kill(self) -> None:
        """End it by SIGKILL."""
        async with self._changing:
            if self.service is not None:
                self.service.kill()
            await self._close()

    async def stop(self) -> None:
        """End it by SIGTERM, and wait until it has drained."""
        async with self._changing:
            if self.service is not None:
                await self._terminate(self.service)
            await self._close()

    async def keep(self) -> None:
        """Run until cancelled: start it again if it ends by itself, and note that as a finding."""
        while True:
            await asyncio.sleep(LOOK_S)
            async with self._changing:
                service = self.service
                if service is not None and service.process.poll() is not None:
                    code = service.process.returncode
                    self._timeline.find(f"{self.name} ended by itself, exit code {code}: {_last_line(service)}")
                    await self._close()
                    await self._start()

    async def is_ready(self) -> bool:
        """Return whether it runs and reports that it is ready."""
        service = self.service
        with contextlib.suppress(ConnectionError, ServiceEndedError):
            return service is not None and await service.is_ready()
        return False

    async def is_whole(self) -> bool:
        """Return whether it is ready and all its workers serve."""
        return await self.is_ready() and len(self.workers()) == WORKERS

    async def becomes_ready(self) -> None:
        """Wait until it is ready."""
        await eventually(self.is_ready, deadline_s=START_DEADLINE_S)

    def assignments(self) -> list[Assignment]:
        """List all assignments that it has received since the beginning."""
        return [*self._past, *(_assignments(self.service) if self.service is not None else [])]

    def partitions(self) -> frozenset[int]:
        """Return the partitions of the last assignment of the process that runs now."""
        now = _assignments(self.service) if self.service is not None else []
        return now[-1].partitions if now else frozenset()

    def workers(self) -> list[int]:
        """List the pids of its workers that have started. Killing others would end the service after three in a row."""
        workers = workers_of(self.service.process.pid) if self.service is not None else []
        return [worker for worker in workers if _has_started(worker)]

    async def _start(self) -> None:
        self.starts += 1
        self.service = await self._held.enter_async_context(starting_service(self._broker, self._env, workers=None))

    async def _terminate(self, service: Service) -> None:
        service.terminate()
        try:
            code = await service.wait(deadline_s=DRAIN_DEADLINE_S)
        except AssertionError:
            self._timeline.find(f"{self.name} does not end {DRAIN_DEADLINE_S:.0f} s after SIGTERM")
        else:
            if code != 0 and service.log:  # an empty log: it had not installed its signal handlers yet
                self._timeline.find(f"{self.name} ended with exit code {code} after SIGTERM: {_last_line(service)}")

    async def _close(self) -> None:
        """Keep its history, and end all its processes."""
        service, self.service = self.service, None
        if service is not None:
            self._past += _assignments(service)
            with self._log.open("a") as log:
                log.write(service.log)
        await self._held.aclose()


@contextlib.asynccontextmanager
async def three_instances(instances: list[Instance]) -> AsyncIterator[None]:
    """Run all of them for the length of the block. The first one starts alone, because it compiles code for all."""
    try:
        for some in (instances[:1], instances[1:]):
            for instance in some:
                await instance.start()
            for instance in some:
                await instance.becomes_ready()
        yield
    finally:
        for instance in instances:
            await instance.kill()


def _assignments(service: Service) -> list[Assignment]:
    return [
        Assignment(_epoch_s(event), frozenset(event["partitions"]))
        for event in service.events
        if event["event"] == "assigned"
    ]


def _has_started(worker: int) -> bool:
    """Return whether a worker has given up the right to write files, as each does when it begins to serve."""
    with contextlib.suppress(ProcessLookupError):
        return resource.prlimit(worker, resource.RLIMIT_FSIZE)[0] == 0
    return False


def _epoch_s(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def _last_line(service: Service) -> str:
    return (service.log.strip().splitlines() or ["(no log)"])[-1][:400]
