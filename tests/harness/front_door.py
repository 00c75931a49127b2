"""`digit-producer serve` as a process, watched from outside through its HTTP side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp

from broker.child_process import start_child
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

START_DEADLINE_S: Final = 120.0
"""Generous, because the machine may be busy."""


@dataclass(frozen=True)
class FrontDoor:
    """A running server. Made by `running_front_door`."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Send SIGKILL: it answers nothing more."""
        self.process.kill()
        self.process.wait()


@contextlib.asynccontextmanager
async def running_front_door(broker: Broker, **env: str) -> AsyncIterator[FrontDoor]:
    """Start a server on these topics, and wait until it is ready; at the end it is killed.

    Its keys have a topic of the test's own. `env` are more settings, ``DIGITS_…``.
    """
    port = free_ports(1)[0]
    settings = broker.environment | {
        "DIGITS_WEB__LISTEN__PORT": str(port),
        "DIGITS_WEB__GATEWAY__KEYS_TOPIC": f"{broker.topics.requests}.keys",
        "DIGITS_WEB__GATEWAY__KEYS_PARTITIONS": "2",
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-P", "-m", "producer", "serve"]
        process = start_child(command, output=log, env=outside | settings | env)
        door = FrontDoor(f"http://{HOST}:{port}", process)
        try:
            await eventually(lambda: _is_ready(door), bool, deadline_s=START_DEADLINE_S)
            yield door
        except BaseException:
            log.seek(0)
            print("the log of the server:", log.read().decode(), sep="\n")  # noqa: T201  # pytest shows it
            raise
        finally:
            door.kill()
            assert process.stdin is not None
            process.stdin.close()


async def _is_ready(door: FrontDoor) -> bool:
    if door.process.poll() is not None:
        raise RuntimeError(f"the server has ended with exit code {door.process.returncode}")
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{door.url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error)) from error
