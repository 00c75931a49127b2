"""A coordinator is killed in the middle of a transaction: another broker takes over, and nothing is lost or doubled.

An instance answers images and stops at a point of a transaction. Meanwhile the broker dies that coordinates its group,
or its transactions. When there is another coordinator, the instance goes on, and a second one joins: each lane must
start at what is committed by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from broker import Cluster
from contract.records import result_id
from tests.harness.failure_points import Point, is_at, stopping_at
from tests.harness.images import drawn_digits
from tests.harness.outage import brokers_well, first_results
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, Position, fresh_topics
from tests.harness.transaction_state import open_transactions, transaction_coordinator
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

IMAGES, MORE = 2_000, 400
COMMITS = 5
"""Transactions before the one in which the coordinator dies."""
SETTINGS = {
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": "300000",
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": "300000",
    "DIGITS_PACING__CHUNK_RECORDS": "4",
    "DIGITS_PACING__TRANSACTION_BYTES": "1024",
}
"""The instance stays a member, and its transaction open, until it goes on. A transaction has a few images a lane."""
DEADLINE_S = 180.0


@dataclass
class Scene:
    """An instance that has stopped in the middle of a transaction."""

    broker: Broker
    stopped: Service
    sent: list[Position]

    async def coordinator(self, of: str) -> int:
        """Find the broker that coordinates the group, or the transaction that is open."""
        if of == "group":
            node: int = await self.broker.admin.find_coordinator(self.broker.group_id)
            return node
        (its_id,) = await open_transactions(self.broker, f"{self.broker.group_id}.")
        return await transaction_coordinator(self.broker, its_id)

    async def committed(self) -> dict[int, int]:
        """Return the offsets that the instance knows to be committed. Our own client might ask the dead broker."""
        lanes = (await self.stopped.health())["partitions"]
        return {lane["partition"]: lane["committed_offset"] or 0 for lane in lanes}

    async def check(self) -> None:
        """Compare what a read_committed reader sees with what was sent: no gap, no double, no exchange."""
        await self.broker.everything_answered(deadline_s=DEADLINE_S)
        expected = [result_id(self.broker.topics.requests, *at, 0) for at in sorted(self.sent)]
        assert [result.result_id for result in await self.broker.results()] == expected
        await audited(self.broker, len(self.sent))


def starts(service: Service) -> Iterator[tuple[int, int]]:
    """Give partition and offset at which each of its lanes has started at a committed offset, in their order."""
    for event in service.events:
        if event["event"] == "starting":
            yield int(event["partition"].rpartition("/")[-1]), event["offset"]


def never_went_back(service: Service, least: dict[int, int]) -> None:
    """Check that no lane has started below these offsets, or below where one of its partition has started before."""
    reached = dict(least)
    for partition, offset in starts(service):
        assert offset >= reached[partition], f"a lane of partition {partition} has started below"
        reached[partition] = offset


@pytest.mark.timeout(900)  # brokers and services start, and one broker dies and comes back
@pytest.mark.parametrize("of", ["group", "transaction"])
@pytest.mark.parametrize("point", [Point.RESULTS_SENT, Point.OFFSETS_SENT, Point.READY_TO_COMMIT], ids=str)
async def test_images_are_answered_once_although_a_coordinator_dies_in_a_transaction(
    nodes: Cluster, point: Point, of: str
) -> None:
    stopping = SETTINGS | stopping_at(point, after_commits=COMMITS)
    async with fresh_topics(nodes) as broker, starting_service(broker, stopping) as stopped:
        scene = Scene(broker, stopped, await broker.send(drawn_digits(IMAGES)))
        await eventually(lambda: is_at(point, stopped), deadline_s=START_DEADLINE_S)
        before = {each: at or 0 for each, at in (await broker.committed_offsets()).items()}
        assert 0 < sum(before.values()) < IMAGES, "it has stopped while images were answered"
        first_starts = offsets_not_found(stopped)
        killed = nodes.nodes[await scene.coordinator(of) - 1]
        killed.kill()
        await brokers_well(broker, [each for each in nodes.nodes if each is not killed], deadline_s=DEADLINE_S)
        stopped.thaw()
        await first_results(broker, stopped, time.time(), deadline_s=DEADLINE_S)
        least = await scene.committed()
        async with running_service(broker, SETTINGS) as second:
            killed.start()
            await asyncio.to_thread(nodes.wait_until_ready)
            scene.sent += await broker.send(drawn_digits(MORE))
            await scene.check()
            assert [*starts(second)], "it has partitions"
            never_went_back(second, least)
            never_went_back(stopped, before)
            assert (offsets_not_found(stopped), offsets_not_found(second)) == (first_starts, 0)


def offsets_not_found(service: Service) -> int:
    return sum(event["event"] in ("no committed offset", "committed offset lost") for event in service.events)
