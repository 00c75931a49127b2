"""Starts the servers that are compared, each as processes of their own that end with this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from benchmarks import processes
from broker.child_process import start_child
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.service import START_DEADLINE_S
from tests.harness.topics import Broker
from tests.harness.waiting import eventually


class Server:
    """A running server. Made by `old_service` or `gateway`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.parts = {"server": processes.of_session(process.pid)}
        """All processes that have a part in an answer, by their kind. `comparison` adds those that a gateway needs."""

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of processor time that each kind has used."""
        return {name: processes.cpu_s(*pids) for name, pids in self.parts.items()}


@contextlib.asynccontextmanager
async def old_service(svc: Path) -> AsyncIterator[Server]:
    """Run the old design with one process for each core."""
    (port,) = free_ports(1)
    async with _running([sys.executable, "-m", "benchmarks.http.old_service", str(svc), str(port)], {}, port) as server:
        yield server


@contextlib.asynccontextmanager
async def gateway(broker: Broker) -> AsyncIterator[Server]:
    """Run `digit-producer serve` with its default settings on these topics."""
    (port,) = free_ports(1)
    settings = broker.environment | {
        "DIGITS_WEB__LISTEN__PORT": str(port),
        "DIGITS_WEB__GATEWAY__KEYS_TOPIC": f"{broker.topics.requests}-keys",
        "DIGITS_LOG__FORMAT": "json",
    }
    async with _running([sys.executable, "-P", "-m", "producer", "serve"], settings, port) as server:
        yield server


@contextlib.asynccontextmanager
async def _running(command: list[str], settings: dict[str, str], port: int) -> AsyncIterator[Server]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    with tempfile.NamedTemporaryFile(prefix="digitstream-bench-") as log:
        process = start_child(command, output=log.file.fileno(), env=outside | settings)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_DEADLINE_S)) as http:

                async def is_ready() -> bool:
                    if process.poll() is not None:
                        print(Path(log.name).read_text())  # noqa: ASYNC240  # it has ended
                        raise RuntimeError(f"{command[2:4]} ended with exit code {process.returncode}")
                    try:
                        async with http.get(f"http://{HOST}:{port}/health") as answer:
                            return answer.ok
                    except aiohttp.ClientError:
                        return False

                await eventually(is_ready, deadline_s=START_DEADLINE_S)
            yield Server(process, port)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
