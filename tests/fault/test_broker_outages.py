"""The service while its three brokers, each with a copy of everything, restart, die, hang and come back.

Each test prints how long after the cluster was healthy again the first lane and the last one had new results. These
figures depend on the machine, so no test asserts them: `python -m benchmarks recovery` compares them with their bars.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError

from broker import Cluster
from broker.node import Node
from tests.harness.images import large_pages
from tests.harness.outage import Watch, brokers_well, first_results, watched
from tests.harness.producer_command import run
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # brokers restart, on a machine that may be busy

REQUEST_TIMEOUT_S = 3.0
SESSION_S = 6.0
DRAWS = 20
SLOWLY = {
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": f"{SESSION_S * 1000:.0f}",
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": f"{SESSION_S * 1000:.0f}",
    "DIGITS_KAFKA__REQUEST_TIMEOUT_MS": f"{REQUEST_TIMEOUT_S * 1000:.0f}",
    "DIGITS_PACING__CHUNK_RECORDS": "1",
    "DIGITS_PACING__TRANSACTION_BYTES": "1024",
}
"""Short timeouts, and little in a transaction."""
BACKLOG = 7_200
"""Images that take a worker some hundredths of a second each: every lane has work until the end."""
SILENCE_S = float(os.environ.get("SILENCE_S", "60"))
"""How long no broker answers: ``SILENCE_S=300 make test-slow ARGS="-k silent tests/fault/test_broker_outages.py"``."""
JUNK = random.Random(0).randbytes(15_000_000)  # noqa: S311  # no secret
"""More than the buffers between two processes hold."""


@dataclass
class Scene:
    """A service at work on three brokers. Made by `at_work`."""

    cluster: Cluster
    broker: Broker
    service: Service
    watch: Watch

    async def coordinator(self) -> Node:
        """Find the node that coordinates the service's group."""
        node: int = await self.broker.admin.find_coordinator(self.broker.group_id)
        return self.cluster.nodes[node - 1]

    async def recovers(self, what: str, nodes: Sequence[Node] = ()) -> None:
        """Wait until these nodes (default: all) are healthy, then for results of every lane; print how long it took."""
        well_s = await brokers_well(self.broker, nodes or self.cluster.nodes)
        first_s, last_s = await first_results(self.broker, self.service, well_s)
        print(f"{what}: first results after {first_s:.2f} s, of every lane after {last_s:.2f} s")  # noqa: T201  # the figure that the test is for


@contextlib.asynccontextmanager
async def at_work(cluster: Cluster) -> AsyncIterator[Scene]:
    """Run a service that has work in each lane.

    At the end it must be ready. It must never have reported that it is stuck, and retries must have cost little. All
    that it has answered by then must have been answered once and in order.
    """
    async with fresh_topics(cluster) as broker:
        await broker.send(large_pages(BACKLOG))
        async with running_service(broker, SLOWLY) as service:
            await eventually(lambda: service.metric("digits_records_total"), lambda done: done > broker.partitions)
            async with watched(service) as watch:
                yield Scene(cluster, broker, service, watch)
                await eventually(service.is_ready)
                watch.was_calm()
            service.terminate()
            assert await service.wait() == 0
        audit = await run(broker, "audit", "--json")
        (counts,) = audit.lines
        assert (audit.exit_code, counts["requests"] + counts["pending"]) == (0, BACKLOG), audit.out


async def test_results_continue_while_brokers_restart_one_by_one(nodes: Cluster) -> None:
    async with at_work(nodes) as scene:
        for node in nodes.nodes:
            await asyncio.to_thread(node.stop)
            await scene.recovers(f"{node.folder.name} stopped", [each for each in nodes.nodes if each is not node])
            node.start()
            await asyncio.to_thread(nodes.wait_until_ready)
        assert scene.service.process.poll() is None


async def test_results_continue_when_the_group_coordinator_is_killed(nodes: Cluster) -> None:
    async with at_work(nodes) as scene:
        killed = await scene.coordinator()
        killed.kill()
        await scene.recovers("coordinator killed", [each for each in nodes.nodes if each is not killed])
        killed.start()
        await asyncio.to_thread(nodes.wait_until_ready)
        await scene.recovers("coordinator back")


async def test_a_hanging_broker_is_given_up_after_the_request_timeout(nodes: Cluster) -> None:
    async with at_work(nodes) as scene:
        hanging = await scene.coordinator()
        with frozen(hanging):
            await asyncio.sleep(REQUEST_TIMEOUT_S / 2)  # the input of the test: slow, and within the request timeout
        assert await scene.service.metric("digits_lanes_lost_total") == 0
        with frozen(hanging):
            await scene.recovers("coordinator hangs", [each for each in nodes.nodes if each is not hanging])
        await scene.recovers("coordinator goes on")


@pytest.mark.parametrize(("how", "length_s"), [("killed", 2 * SESSION_S), ("silent", SILENCE_S)])
async def test_results_continue_after_all_brokers_were_away(nodes: Cluster, how: str, length_s: float) -> None:
    async with at_work(nodes) as scene:
        for node in nodes.nodes:
            node.kill() if how == "killed" else node.freeze()
        begun_s = time.monotonic()
        # A request to a broker may take five seconds before the service reports that no broker answers.
        await eventually(lambda: scene.service.get("/readyz"), lambda answer: answer[0] == 503)
        async with watched(scene.service) as outage:
            left_s = length_s - (time.monotonic() - begun_s)
            await asyncio.sleep(max(left_s, SESSION_S))  # this outage is the input of the test
            assert await scene.service.get("/livez") == (200, "ok\n")
            assert not outage.was_ready
            outage.was_calm()
        for node in nodes.nodes:
            node.start() if how == "killed" else node.thaw()
        await scene.recovers(f"all brokers {how}, and back")


async def test_a_hanging_broker_does_not_stop_the_lane_of_a_large_dead_letter(
    nodes: Cluster,
) -> None:
    async with led_apart(nodes) as (broker, partition, leader), running_service(broker, SLOWLY) as service:
        service.freeze()  # until its request is there and the broker hangs
        await broker.send([JUNK], partition=partition)
        with frozen(nodes.nodes[leader - 1]):
            service.thaw()
            # The service reports its offset; our own client might wait for the broker that hangs.
            await eventually(lambda: committed(service, partition), lambda offset: offset == 1)
        await asyncio.to_thread(nodes.wait_until_ready)
        # For a moment the broker that is back still claims to be the leader, and does not have the record.
        await eventually(broker.dead_letters, lambda letters: [record.value for record in letters] == [JUNK])


async def committed(service: Service, partition: int) -> int | None:
    lanes = {lane["partition"]: lane["committed_offset"] for lane in (await service.health())["partitions"]}
    return lanes.get(partition)


@contextlib.asynccontextmanager
async def led_apart(nodes: Cluster) -> AsyncIterator[tuple[Broker, int, int]]:
    """Make topics with a partition whose dead letters are led by another broker than its requests and its group.

    Kafka draws which broker leads what, so not all topics have one.
    """
    for _ in range(DRAWS):
        async with fresh_topics(nodes) as broker:
            if (found := await find_led_apart(broker)) is not None:
                yield broker, *found
                return
    raise AssertionError(f"none of {DRAWS} topics has such a partition")


async def find_coordinator(broker: Broker) -> int | None:
    """Return the broker that coordinates the group; None if the cluster has yet to make the topic for groups."""
    try:
        node: int = await broker.admin.find_coordinator(broker.group_id)
    except GroupCoordinatorNotAvailableError:
        return None
    return node


async def find_led_apart(broker: Broker) -> tuple[int, int] | None:
    led = {
        (topic["topic"], each["partition"]): each["leader"]
        for topic in await broker.admin.describe_topics()
        for each in topic["partitions"]
    }
    group = await eventually(lambda: find_coordinator(broker), lambda found: found is not None)
    for partition in range(broker.partitions):
        requests, letters = led[broker.topics.requests, partition], led[broker.topics.dead_letter, partition]
        if letters not in (requests, group):
            return partition, letters
    return None


@contextlib.contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Let a node hang for the length of the block: its connections stay open, and silent."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()
