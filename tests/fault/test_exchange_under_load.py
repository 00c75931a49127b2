"""An alias moves while two instances answer: exactly once, in order, and on no instance back to the old model."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.model.files import ModelFiles
from engine.registry import registry
from engine.registry.stores import Store
from tests.harness.images import drawn_digits
from tests.harness.models import version_of, worse_model
from tests.harness.processes import workers_of
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service, running_service
from tests.harness.topics import Broker, Position
from tests.harness.waiting import eventually

DIGITS = drawn_digits(40)
PAUSE_S = 0.05
"""Between two sendings: some hundred images a second, so that there is always something to read."""
LONG_S = 120.0
SHORT_SESSION = {"DIGITS_KAFKA__SESSION_TIMEOUT_MS": "6000"}  # the least that brokers allow


@dataclass
class Models:
    """A registry in a folder, whose alias instances follow."""

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        return SHORT_SESSION | {
            "DIGITS_MODEL": f"{self.folder}/digits@production",
            "DIGITS_MODEL_CACHE": str(self.folder / "cache"),
            "DIGITS_MODEL_POLL_S": "0.5",
        }

    def promote(self, files: ModelFiles) -> None:
        """Publish a model if it is new, and let the alias name it."""
        store = Store.open(str(self.folder), 5, create=True)
        registry.publish(store, files)
        registry.promote(store, "digits", files.info.version, "production")


@pytest.fixture
def models(tmp_path: Path) -> Models:
    made = Models(tmp_path / "registry")
    made.promote(version_of("1"))
    return made


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


@pytest.mark.slow  # two instances, and workers that start under load
async def test_an_alias_that_moves_under_load_costs_nothing_and_no_instance_goes_back(
    broker: Broker, models: Models
) -> None:
    async with running_service(broker, models.settings) as one, running_service(broker, models.settings) as two:
        await share_the_partitions(one, two)
        async with load(broker) as sending:
            await eventually(lambda: len(sending.sent) > 400)
            models.promote(version_of("2"))
            await asyncio.gather(has_moved(one, "2"), has_moved(two, "2"))
            so_far = len(sending.sent)
            await eventually(lambda: len(sending.sent) > so_far + 400)
        for service in (one, two):
            assert await service.metric("digits_lanes_lost_total") == 0
            assert await service.metric("digits_worker_restarts_total") == 0
            assert await service.metric("digits_model_exchanges_total", end="moved") == 1
            assert len(workers_of(service.process.pid)) == 1
    assert await versions(broker) == {partition: ["1", "2"] for partition in range(8)}


@pytest.mark.slow  # as above
async def test_workers_that_are_killed_during_the_exchange_change_nothing_of_that(
    broker: Broker, models: Models
) -> None:
    async with running_service(broker, models.settings, workers=2) as service:
        async with load(broker) as sending:
            await eventually(lambda: len(sending.sent) > 400)
            models.promote(version_of("2"))
            await is_trying(service)
            for pid in workers_of(service.process.pid):  # old ones, and the new one if it is there already
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await has_moved(service, "2")
            running = await eventually(lambda: workers_of(service.process.pid))
            os.kill(running[0], signal.SIGKILL)
            so_far = len(sending.sent)
            await eventually(lambda: len(sending.sent) > so_far + 400)
        assert await service.metric("digits_lanes_lost_total") == 0
    assert await versions(broker) == {partition: ["1", "2"] for partition in range(8)}


@pytest.mark.slow  # waits for the end of a session
async def test_an_instance_that_is_killed_during_the_exchange_leaves_it_to_the_other(
    broker: Broker, models: Models
) -> None:
    async with running_service(broker, models.settings) as dying, running_service(broker, models.settings) as staying:
        await share_the_partitions(dying, staying)
        own = await partitions_of(staying)
        async with load(broker) as sending:
            await eventually(lambda: len(sending.sent) > 400)
            models.promote(version_of("2"))
            await is_trying(dying)
            dying.kill()
            await has_moved(staying, "2")
            await eventually(lambda: partitions_of(staying), lambda found: len(found) == 8, deadline_s=LONG_S)
            so_far = len(sending.sent)
            await eventually(lambda: len(sending.sent) > so_far + 400)
    seen = await versions(broker)
    assert {partition: seen[partition] for partition in own} == {partition: ["1", "2"] for partition in own}
    for partition in set(seen) - own:  # the dying one may have moved before the other
        assert seen[partition] in (["1", "2"], ["1", "2", "1", "2"])


@pytest.mark.slow  # as above
async def test_an_instance_that_is_stopped_during_the_exchange_drains(broker: Broker, models: Models) -> None:
    async with running_service(broker, models.settings) as service:
        sent = await broker.send(DIGITS)
        models.promote(version_of("2"))
        await is_trying(service)
        service.terminate()
        assert await service.wait() == 0
        assert events(service, "ended")
    await audited(broker, len(sent))


async def test_a_worse_model_is_refused_and_named_and_the_old_one_answers(
    broker: Broker, models: Models, tmp_path: Path
) -> None:
    async with running_service(broker, models.settings) as service:
        worse = worse_model("2", tmp_path / "worse")
        models.promote(worse)
        await eventually(lambda: events(service, "model refused"), deadline_s=LONG_S)
        health = await service.health()
        assert (health["ready"], health["model"]["version"]) == (True, "1")
        refused = health["refused_model"]
        assert (refused["version"], refused["manifest_sha256"]) == ("2", worse.manifest_sha256)
        assert "of 500 golden digits" in refused["why"]
        assert await service.metric("digits_model_refused") == 1
        assert await service.metric("digits_model_exchanges_total", end="refused") == 1
        sent = await broker.send(DIGITS)
        await broker.everything_answered()
        models.promote(version_of("1"))
        await eventually(lambda: service.metric("digits_model_refused"), lambda refused: refused == 0)
        assert len(events(service, "model refused")) == 1, "it was tried once"
    await audited(broker, len(sent))
    assert {version for seen in (await versions(broker)).values() for version in seen} == {"1"}
