"""A registry whose alias running instances follow, a load meanwhile, and what shows how they exchange the model."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.model.files import ModelFiles
from engine.registry import registry
from engine.registry.stores import Store
from tests.harness.images import drawn_digits
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service
from tests.harness.topics import Broker, Position
from tests.harness.waiting import eventually

DIGITS: Final = drawn_digits(40)
PAUSE_S: Final = 0.1
"""Between two sendings: some hundred images a second, so that there is always something to read."""
LONG_S: Final = 180.0
SHORT_SESSION: Final = {"DIGITS_KAFKA__SESSION_TIMEOUT_MS": "6000"}  # the least that brokers allow


@dataclass
class Models:
    """A registry whose alias instances follow."""

    location: str
    """A folder or a bucket."""
    cache: Path
    probation_s: float = 1
    """Short, so that the second instance soon follows the first."""

    @property
    def settings(self) -> dict[str, str]:
        return SHORT_SESSION | {
            "DIGITS_MODEL": f"{self.location}/digits@production",
            "DIGITS_MODEL_CACHE": str(self.cache),
            "DIGITS_MODEL_POLL_S": "0.5",
            "DIGITS_MODEL_PROBATION_S": str(self.probation_s),
        }

    def promote(self, files: ModelFiles) -> None:
        """Publish a model if it is new, and let the alias name it."""
        store = Store.open(self.location, LONG_S, create=True)
        registry.publish(store, files)
        registry.promote(store, "digits", files.info.version, "production")


@dataclass
class Load:
    """Images that are sent until the context ends."""

    sent: list[Position] = field(default_factory=list)


@contextlib.asynccontextmanager
async def load(broker: Broker) -> AsyncIterator[Load]:
    """Send images all the time; at the end, wait until all are answered, and audit them."""
    made, enough = Load(), asyncio.Event()

    async def send() -> None:
        while not enough.is_set():
            made.sent += await broker.send(DIGITS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await enough.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        try:
            yield made
        finally:
            enough.set()
    await broker.everything_answered(deadline_s=LONG_S)
    await audited(broker, len(made.sent))


async def versions(broker: Broker) -> dict[int, list[str]]:
    """Give the versions that have answered each partition, in order, without repetitions."""
    results = await broker.results()
    by_partition = itertools.groupby(results, lambda result: result.source.partition)
    return {
        partition: [version for version, _ in itertools.groupby(result.model.version for result in of)]
        for partition, of in by_partition
    }


async def share_the_partitions(*services: Service) -> None:
    async def shares() -> list[int]:
        reports = [await each.health() for each in services]
        return sorted(len(each["partitions"]) for each in reports) if all(each["ready"] for each in reports) else []

    await eventually(shares, lambda found: found == [4, 4], deadline_s=START_DEADLINE_S)


async def partitions_of(service: Service) -> set[int]:
    return {each["partition"] for each in (await service.health())["partitions"]}


def events(service: Service, event: str) -> list[dict[str, Any]]:
    return [each for each in service.events if each["event"] == event]


async def is_trying(service: Service) -> None:
    await eventually(lambda: events(service, "trying another model"), deadline_s=LONG_S)


async def has_moved(service: Service, version: str) -> None:
    await eventually(
        lambda: [each["version"] for each in events(service, "model exchanged")],
        lambda seen: version in seen,
        deadline_s=LONG_S,
    )
    assert (await service.health())["model"]["version"] == version


def happened_at_s(service: Service, event: str) -> float:
    """Return when a line was logged for the first time, in seconds since 1970."""
    return datetime.fromisoformat(events(service, event)[0]["timestamp"]).timestamp()


async def first_and_second(*services: Service) -> list[Service]:
    """Give two instances in the order in which they exchange the model: the owner of partition 0 first."""
    await share_the_partitions(*services)
    owns = [0 in await partitions_of(each) for each in services]
    assert sorted(owns) == [False, True]
    return sorted(services, key=lambda each: not owns[services.index(each)])
