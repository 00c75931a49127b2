"""The compose file in use from the host, while its containers start, stop and die.

Each test leaves one instance running; each ends with an audit of everything sent so far.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.compose.stack import LONG_S, NAME, ROOT, Stack, all_answered_once, docker, inspect, progress
from tests.demo.run import SENT, expected, outcome
from tests.harness.producer_command import run
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(900)  # the first to run builds the image

NOT_READY: Final = "not ready: "


async def probe(container: str) -> str:
    """Ask an instance whether it is ready, from within: also where its network is gone."""
    return await docker("exec", container, "sh", "-c", "python -P -m consumer.observe.healthcheck || true")


async def test_files_sent_from_the_host_are_answered_as_expected(broker: Broker) -> None:
    sent = await run(broker, "send", *map(str, SENT), "--wait", "--json")
    results = {result["item"]["name"]: outcome(result) for result in sent.lines}
    assert len(results) == 40 + 20 + 3
    assert results == {name: expected(name) for name in results}
    await all_answered_once(broker)


async def test_what_was_sent_and_answered_survives_down_and_up(stack: Stack, broker: Broker) -> None:
    before = [result.result_id for result in await broker.results()]
    await stack.compose("down")
    await stack.compose("up", "--detach", "--wait")
    await stack.shared_as(8)
    async with stack.broker() as afterwards:
        await afterwards.send([(ROOT / "tests/data/digits.zip").read_bytes()])
        await all_answered_once(afterwards)
        assert before
        assert set(before) < {result.result_id for result in await afterwards.results()}


async def test_instances_join_and_leave_under_load(stack: Stack, broker: Broker) -> None:
    async with stack.under_load(broker):
        await stack.scale(3)
        await stack.shared_as(2, 3, 3)
        await progress(broker)
        await stack.scale(1)
        await stack.shared_as(8)
        await progress(broker)


async def test_instances_are_killed_under_load(stack: Stack, broker: Broker) -> None:
    await stack.scale(3)
    await stack.shared_as(2, 3, 3)
    async with stack.under_load(broker):
        for survivors in ((4, 4), (8,)):
            await docker("kill", (await stack.containers())[0])
            await stack.shared_as(*survivors)
            await progress(broker)
        await stack.scale(3)
        await stack.shared_as(2, 3, 3)
        await docker("kill", *await stack.containers())
        await stack.scale(1)
        await progress(broker)
    await stack.shared_as(8)


async def test_an_update_and_a_rollback_under_load_answer_all_requests(
    stack: Stack, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{NAME}:next"
    await docker("tag", NAME, other)
    await stack.scale(2)
    await stack.shared_as(4, 4)
    try:
        async with stack.under_load(broker):
            for image in (other, NAME):
                before = await stack.containers()
                monkeypatch.setenv("DIGITSTREAM_IMAGE", image)
                await stack.scale(2, recreate=True)
                await stack.shared_as(4, 4)
                await progress(broker)
                after = await stack.containers()
                assert set(before).isdisjoint(after)
                assert [(await inspect(each))["Config"]["Image"] for each in after] == [image, image]
    finally:
        monkeypatch.undo()
        await stack.scale(1, recreate=True)
        await docker("image", "rm", other)
    await stack.shared_as(8)


async def test_the_broker_restarts_and_is_killed_between_loads(stack: Stack, broker: Broker) -> None:
    # Not under load: a broker that is alone forgets to end what was open, see "A broker that is alone" in
    # docs/delivery.md. Brokers that are killed under load, three of them, are the business of `make chaos`.
    for how in (("restart", "kafka"), ("kill", "kafka"), ("up", "--detach", "--wait", "--no-recreate")):
        await stack.compose(*how)
    async with stack.under_load(broker):
        await progress(broker)
    await stack.shared_as(8)


async def test_an_instance_loses_its_network_under_load_and_comes_back(stack: Stack, broker: Broker) -> None:
    await stack.scale(2)
    await stack.shared_as(4, 4)
    cut_off, other = await stack.containers()
    async with stack.under_load(broker):
        await docker("network", "disconnect", stack.network, cut_off)
        await eventually(lambda: stack.health(other), lambda health: len(health["partitions"]) == 8, deadline_s=LONG_S)
        await eventually(lambda: probe(cut_off), lambda said: said.startswith(NOT_READY), deadline_s=LONG_S)
        await progress(broker)
        await docker("network", "connect", "--alias", "consumer", stack.network, cut_off)
        await stack.shared_as(4, 4)
        await progress(broker)
    # Docker asks every ten seconds; until then it says unhealthy, and `up --wait` would give up at once.
    await eventually(
        lambda: docker("inspect", "--format", "{{.State.Health.Status}}", cut_off),
        lambda said: said.strip() == "healthy",
        deadline_s=LONG_S,
    )
    await stack.scale(1)


async def test_the_broker_loses_its_network_under_load_and_comes_back(stack: Stack, broker: Broker) -> None:
    (kafka,) = await stack.containers("kafka")
    (instance,) = await stack.containers()
    async with stack.under_load(broker):
        await docker("network", "disconnect", stack.network, kafka)
        await eventually(lambda: probe(instance), lambda said: said.startswith(NOT_READY), deadline_s=LONG_S)
        await docker("network", "connect", "--alias", "kafka", stack.network, kafka)
        await stack.shared_as(8)
        await progress(broker)
