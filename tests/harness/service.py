"""The service as a real process, watched from outside through its exit code, its log and its health server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from broker.child_process import start_child
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.topics import Broker
from tests.harness.waiting import DEADLINE_S, eventually

START_DEADLINE_S: Final = 240.0
"""Generous: compiled code may have to be compiled first, and the machine may be busy."""

ANSWER_S: Final = 20.0
"""The health server answers within milliseconds, unless the machine is busy or the service frozen."""


class ServiceEndedError(Exception):
    """The service ended although it should have gone on."""


class Service:
    """One instance. Made by `running_service` or `starting_service`."""

    def __init__(self, process: subprocess.Popen[bytes], *, port: int, log: Path, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.port = port
        self._log = log
        self._http = http

    @property
    def log(self) -> str:
        """Everything that it has written so far to standard output and standard error."""
        return self._log.read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log lines, parsed; lines that are not JSON (such as a traceback at the end) are left out."""
        events = []
        for line in self.log.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                events.append(json.loads(line))
        return events

    async def get(self, path: str) -> tuple[int, str]:
        """Request a path of its health server; return status and body. Raises `ConnectionError` if it is refused."""
        try:
            async with self._http.get(f"http://{HOST}:{self.port}{path}") as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(str(error)) from error

    async def is_ready(self) -> bool:
        """Request ``/readyz``. Raises `ServiceEndedError` if the service has ended."""
        if self.process.poll() is not None:
            raise ServiceEndedError(f"the service ended with exit code {self.process.returncode}")
        return (await self.get("/readyz"))[0] == 200

    async def health(self) -> dict[str, Any]:
        """Request ``/health`` and return its JSON."""
        health: dict[str, Any] = json.loads((await self.get("/health"))[1])
        return health

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with this name and these labels; 0 if there is none."""
        _, text = await self.get("/metrics")
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def kill(self) -> None:
        """Send SIGKILL: it finishes nothing and leaves no group."""
        self.process.kill()

    def terminate(self) -> None:
        """Send SIGTERM: it drains and ends."""
        self.process.terminate()

    def freeze(self) -> None:
        """Send SIGSTOP: it does nothing until `thaw`, and does not notice the pause."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT: it goes on."""
        self.process.send_signal(signal.SIGCONT)

    async def wait(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Wait until it has ended and return its exit code, negative if a signal ended it."""
        await eventually(lambda: self.process.poll() is not None, deadline_s=deadline_s)
        return self.process.returncode


@contextlib.asynccontextmanager
async def starting_service(
    broker: Broker, env: Mapping[str, str] | None = None, *, workers: int | None = 1, cwd: Path | None = None
) -> AsyncIterator[Service]:
    """Start an instance on a broker's topics without waiting for it; at the end, all its processes are gone.

    Parameters
    ----------
    broker
        The topics and the group.
    env
        More settings, ``DIGITS_…``, that replace or join those given by default.
    workers
        How many worker processes. The start of each takes two seconds of processor time, so a test has one unless it
        is about several. None: as many as the service has by default.
    cwd
        The current directory of the service; by default ours.
    """
    port = free_ports(1)[0]
    settings = broker.environment | {"DIGITS_HEALTH__PORT": str(port), "DIGITS_LOG__FORMAT": "json"}
    settings |= {} if workers is None else {"DIGITS_WORKERS": str(workers)}
    settings |= dict(env or {})
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    with tempfile.TemporaryDirectory(prefix="digitstream-service-") as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            command = [sys.executable, "-P", "-m", "consumer", "run"]
            process = start_child(command, output=log, cwd=cwd, env=outside | settings)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
            service = Service(process, port=port, log=path, http=http)
            try:
                yield service
            except BaseException:
                print(f"the log of service {process.pid}:", service.log, sep="\n")  # noqa: T201  # pytest shows it
                raise
            finally:
                _end(process)


@contextlib.asynccontextmanager
async def running_service(
    broker: Broker, env: Mapping[str, str] | None = None, *, workers: int | None = 1, cwd: Path | None = None
) -> AsyncIterator[Service]:
    """Start an instance as `starting_service` does, and wait until it is ready."""
    async with starting_service(broker, env, workers=workers, cwd=cwd) as service:
        await eventually(service.is_ready, deadline_s=START_DEADLINE_S)
        yield service


async def fatal_end(broker: Broker, env: Mapping[str, str]) -> str:
    """Start an instance that must end by itself with exit code 1; return the reason that it logs."""
    async with starting_service(broker, env) as service:
        assert await service.wait(deadline_s=START_DEADLINE_S) == 1
        assert "Traceback" not in service.log
        (fatal,) = [event for event in service.events if event["level"] == "error"]
    assert fatal["event"] == "fatal"
    return str(fatal["why"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it and of its workers, which share its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
