"""An alias moves while two instances answer: exactly once, in order, and on no instance back to the old model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.harness.exchange import (
    DIGITS,
    LONG_S,
    Models,
    events,
    first_and_second,
    happened_at_s,
    has_moved,
    is_trying,
    load,
    partitions_of,
    share_the_partitions,
    versions,
)
from tests.harness.models import unsure_model, version_of, worse_model
from tests.harness.processes import workers_of
from tests.harness.producer_command import audited
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually


@pytest.fixture
def models(tmp_path: Path) -> Models:
    made = Models(str(tmp_path / "registry"), tmp_path / "cache")
    made.promote(version_of("1"))
    return made


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
async def test_the_second_instance_waits_until_the_first_has_answered_for_a_probation(
    broker: Broker, models: Models
) -> None:
    models.probation_s = 4
    async with running_service(broker, models.settings) as one, running_service(broker, models.settings) as two:
        first, second = await first_and_second(one, two)
        async with load(broker):
            models.promote(version_of("2"))
            await eventually(lambda: events(second, "model waits"), deadline_s=LONG_S)
            waits = await eventually(lambda: _waits_for(second), deadline_s=LONG_S)
            assert waits == "partition 0 to be answered by digits 2 for 6 s"
            await has_moved(first, "2")
            await has_moved(second, "2")
        assert not events(first, "model waits")
        await eventually(lambda: _waits_for(second), lambda waits: waits is None)
        tried_at_s = happened_at_s(second, "trying another model")
    of_first = (result for result in await broker.results() if result.source.partition == 0)
    first_answered_ms = min(result.timing.classified_at_ms for result in of_first if result.model.version == "2")
    assert tried_at_s - first_answered_ms / 1000 >= 6
    assert await versions(broker) == {partition: ["1", "2"] for partition in range(8)}


async def _waits_for(service: Service) -> str | None:
    waits: str | None = (await service.health())["model_waits_for"]
    return waits


@pytest.mark.slow  # as above
async def test_a_model_that_is_unsure_is_returned_by_the_first_instance_and_not_tried_by_the_second(
    broker: Broker, models: Models, tmp_path: Path
) -> None:
    models.probation_s = 600
    every_model_passes = models.settings | {"DIGITS_MODEL_GOLDEN_MARGIN": "1"}
    async with running_service(broker, every_model_passes) as one, running_service(broker, every_model_passes) as two:
        first, second = await first_and_second(one, two)
        own = await partitions_of(first)
        async with load(broker) as sending:
            await eventually(lambda: len(sending.sent) > 400)
            unsure = unsure_model("2", tmp_path / "unsure")
            models.promote(unsure)
            await eventually(lambda: events(first, "model refused"), deadline_s=LONG_S)
            so_far = len(sending.sent)
            await eventually(lambda: len(sending.sent) > so_far + 400)
        health = await first.health()
        assert (health["ready"], health["model"]["version"]) == (True, "1")
        assert not health["model_on_probation"]
        refused = health["refused_model"]
        assert (refused["version"], refused["manifest_sha256"]) == ("2", unsure.manifest_sha256)
        assert "after the exchange 100.0% of" in refused["why"]
        assert await first.metric("digits_model_refused") == 1
        for end in ("moved", "returned"):
            assert await first.metric("digits_model_exchanges_total", end=end) == 1, end
        assert not events(second, "trying another model")
        assert await _waits_for(second)
    seen = await versions(broker)
    assert seen == {partition: ["1", "2", "1"] if partition in own else ["1"] for partition in range(8)}


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
    models.probation_s = 600  # the other one waits for it no longer than until it owns partition 0
    async with running_service(broker, models.settings) as one, running_service(broker, models.settings) as two:
        dying, staying = await first_and_second(one, two)
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
    for partition in set(seen) - own:  # the dying one may have moved before it died
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
