"""The unchanged compose file, running under its own project name and port.

What a user's ``make up`` has started on the same machine is neither seen nor touched. Nothing of it is left at the
end; what a run that was killed has left is removed by the next one of the same checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import zlib
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its reaper is one more image to pull; we clean up ourselves
from testcontainers.compose import DockerCompose

from broker.ports import free_ports
from tests.harness.images import drawn_digits, zipped
from tests.harness.producer_command import run
from tests.harness.topics import Broker, RunningElsewhere, existing_topics
from tests.harness.waiting import eventually
from transport.settings.kafka import ClientSettings

ROOT: Final = Path(__file__).parents[2]
NAME: Final = f"digitstream-test-{zlib.crc32(bytes(ROOT)):08x}"
"""Of the project and of the image: one for each checkout."""
LONG_S: Final = 180.0
"""For what takes seconds where nothing else runs."""
OUTAGE_S: Final = 120.0
"""So long the load's producer keeps trying."""
PAUSE_S: Final = 0.05


class CommandFailedError(Exception):
    """``docker`` has ended with another exit code than 0."""


async def docker(*arguments: str) -> str:
    """Run ``docker`` in the project's folder and return its standard output."""
    process = await asyncio.create_subprocess_exec("docker", *arguments, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    if process.returncode:
        raise CommandFailedError(f"docker {' '.join(arguments)}: {err.decode().strip()}")
    return out.decode().strip()


async def inspect(container: str) -> dict[str, Any]:
    """Return what Docker knows of a container."""
    found: list[dict[str, Any]] = json.loads(await docker("container", "inspect", container))
    return found[0]


async def get(url: str) -> dict[str, Any]:
    """Ask for JSON; no answer raises `ConnectionError`."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(url) as answer,
        ):
            found: dict[str, Any] = await answer.json()
            return found
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionError(str(error)) from error


class Stack:
    """Kafka, its topics and the service. Made by `running_stack`."""

    def __init__(self, compose: DockerCompose, kafka_port: int, prometheus_port: int, web_port: int) -> None:
        self.options = tuple(compose.docker_compose_command()[1:])
        """After ``docker``: those of this project."""
        self.prometheus = f"http://127.0.0.1:{prometheus_port}"
        self.gateway = f"http://127.0.0.1:{web_port}"
        self.cluster = RunningElsewhere(f"localhost:{kafka_port}")
        self.network = f"{NAME}_default"

    async def compose(self, *arguments: str) -> str:
        """Run ``docker compose`` for this project."""
        return await docker(*self.options, *arguments)

    async def scale(self, instances: int, *, recreate: bool = False) -> None:
        """Run a number of instances, killed ones included, and return when they are ready.

        With `recreate` those are replaced that run with another image than ``DIGITSTREAM_IMAGE`` now says.
        """
        options = ["--detach", "--wait", "--no-deps", "--scale", f"consumer={instances}"]
        await self.compose("up", *options, *([] if recreate else ["--no-recreate"]), "consumer")

    async def containers(self, service: str = "consumer") -> list[str]:
        """List the running containers of a service."""
        return (await self.compose("ps", "--quiet", service)).split()

    async def health(self, container: str) -> dict[str, Any]:
        """Ask an instance for ``/health`` as anyone on this machine can, at its published port."""
        ports = (await inspect(container))["NetworkSettings"]["Ports"].get("8080/tcp")
        if not ports:
            raise ConnectionError("no port is published")
        return await get(f"http://127.0.0.1:{ports[0]['HostPort']}/health")

    async def shares(self) -> list[int]:
        """Return how many partitions each instance has, smallest first; of one that is not ready -1."""
        reports = [await self.health(container) for container in await self.containers()]
        return sorted(len(report["partitions"]) if report["ready"] else -1 for report in reports)

    async def shared_as(self, *expected: int) -> None:
        """Wait until all are ready and have these numbers of partitions."""
        await eventually(self.shares, lambda found: found == list(expected), deadline_s=LONG_S)

    @contextlib.asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """Connect to the topics that the service works on, and to its group."""
        settings = ClientSettings()
        topics, group_id = settings.topics, settings.kafka.group_id
        # A producer that gives up after the usual 40 s would make of an outage a fault of the test.
        patience = {"request_timeout_ms": int(OUTAGE_S * 1000)}
        async with existing_topics(self.cluster, topics, group_id, **patience) as broker:
            yield broker

    @contextlib.asynccontextmanager
    async def under_load(self, broker: Broker) -> AsyncIterator[None]:
        """Send for as long as the block lasts, then prove that all is answered once.

        A few hundred images, archives and damaged files a second: the service always has work, and never much of it.
        """
        records, done = _round(), asyncio.Event()

        async def send() -> None:
            while not done.is_set():
                await broker.send(records)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), PAUSE_S)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(send(), name="load")
                try:
                    yield
                finally:
                    done.set()
            await all_answered_once(broker)
        except BaseException:
            print(await self.compose("logs", "--tail", "200"))  # noqa: T201  # pytest shows it
            raise


def _round() -> list[bytes]:
    digits = drawn_digits(60)
    return [*digits[:20], digits[0][:100], zipped([(f"{i}.png", data) for i, data in enumerate(digits[20:])])]


async def progress(broker: Broker) -> None:
    """Wait until requests are answered that were sent after this call."""
    ends = await broker.end_offsets(broker.topics.requests)

    async def unanswered() -> dict[int, int | None]:
        committed = await broker.committed_offsets()
        return {each: committed[each] for each, end in ends.items() if (committed[each] or 0) <= end}

    await eventually(unanswered, lambda left: not left, deadline_s=LONG_S)


async def all_answered_once(broker: Broker) -> None:
    """Wait until all is answered, and have `digit-producer audit` prove that nothing is missing, doubled or exchanged.

    It reads the topics from their start, what was there before included.
    """
    await broker.everything_answered(deadline_s=LONG_S)
    audit = await run(broker, "audit", "--json")
    report = json.loads(audit.out)
    # Counted one by one: the ends of the log count the markers of the HTTP server's transactions, too.
    sent = len(await broker.read(broker.topics.requests, deadline_s=LONG_S))
    assert (report["requests"], report["pending"]) == (sent, 0)
    assert (audit.exit_code, audit.err) == (0, ""), report


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Build the image, bring the compose file up, and remove everything at the end."""
    kafka_port, prometheus_port, web_port = free_ports(3)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COMPOSE_PROJECT_NAME", NAME)
        environment.setenv("DIGITSTREAM_IMAGE", NAME)
        environment.setenv("KAFKA_PORT", str(kafka_port))
        environment.setenv("PROMETHEUS_PORT", str(prometheus_port))
        environment.setenv("WEB_PORT", str(web_port))
        environment.delenv("COMPOSE_PROFILES", raising=False)
        remove(NAME)
        try:
            with DockerCompose(ROOT, compose_file_name="docker-compose.yml", build=True, quiet_build=True) as compose:
                yield Stack(compose, kafka_port, prometheus_port, web_port)
        finally:
            remove(NAME)


def remove(name: str) -> None:
    """Remove containers, network, volumes and images of this name, also those of profiles that are not active."""
    down = ("compose", "--project-name", name, "--profile", "*", "down", "--volumes", "--remove-orphans")
    for arguments in (down, ("image", "rm", "--force", name, f"{name}-web")):
        subprocess.run(["docker", *arguments], cwd=ROOT, check=True, capture_output=True)  # noqa: S607  # the user's
