"""The lanes of this instance: one for each partition that the group gave us, and never two for one.

Two lanes of one partition would share a fetch position, and fencing does not protect that: a fetch that is
blocked across a rebalance takes records after it. So a partition's new lane starts after its old one has
ended, and the group waits for that in `on_partitions_revoked`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition

from consumer.ending import REVOKE_TIMEOUT_S
from consumer.partitions.lane import End, Equipment, Lane
from consumer.partitions.position import OffsetLost
from transport.errors import FatalError

log = structlog.get_logger()

RESTART_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0)
"""Before a lost lane starts again; the last one repeats."""


class Lanes(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """All lanes. Owner: the group's callbacks, which run one after the other, and the drain.

    Health reads `current`, `joined` and `silent_s`, nothing else.
    """

    def __init__(self, equipment: Equipment, group: asyncio.TaskGroup) -> None:
        self._equipment = equipment
        self._group = group
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._draining = False
        self._parked: dict[TopicPartition, OffsetLost] = {}
        """Those that were parked when they were taken from us: they may come back."""
        self.current: dict[TopicPartition, Lane] = {}
        self.joined = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """End the lanes of these partitions; called by the client before it joins anew."""
        self.joined = False
        await self._end(list(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start a lane for each of these partitions; called by the client when the group has decided.

        Heartbeats start only after this returns, so nothing is awaited here: the lanes fence in their tasks.
        """
        partitions = sorted(assigned)
        log.info("assigned", partitions=[partition.partition for partition in partitions])
        self._equipment.membership.note_assignment()
        self._equipment.metrics.rebalances.inc()
        self._equipment.metrics.assigned.set(len(partitions))
        self.joined = True
        if self._draining:
            return
        for partition in partitions:
            if partition in self._tasks:  # the client swallows what is raised here, hence a task of its own
                self._group.create_task(_fail(f"two lanes for {partition}"), name="two lanes")
                return
            name = f"lane {partition.topic}/{partition.partition}"
            self._tasks[partition] = self._group.create_task(self._keep(partition), name=name)

    @property
    def silent_s(self) -> float:
        """How long nothing good was heard from the group."""
        return self._equipment.membership.since_contact_s

    async def drain(self) -> None:
        """Let every lane publish what it holds, and end."""
        self._draining = True
        await self._wind_up(list(self._tasks), Lane.drain)

    async def _end(self, partitions: list[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(REVOKE_TIMEOUT_S):
                await self._wind_up(partitions, Lane.revoke)
        except TimeoutError:
            # Its transaction stays open; the next owner's fencing start aborts it.
            late = [task for partition in partitions if (task := self._tasks.get(partition))]
            log.warning("lanes cancelled", lanes=[task.get_name() for task in late], action="the next owner repeats")
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for partition in partitions:
            self._tasks.pop(partition, None)
            lane = self.current.pop(partition, None)
            if lane is not None and lane.parked is not None:
                self._parked[partition] = lane.parked

    async def _wind_up(self, partitions: list[TopicPartition], how: Callable[[Lane], None]) -> None:
        """Tell lanes to end and wait until they have."""
        tasks = [task for partition in partitions if (task := self._tasks.get(partition))]
        for partition in partitions:
            lane = self.current.get(partition)
            if lane is not None and lane.started:
                how(lane)
            elif (task := self._tasks.get(partition)) is not None:
                task.cancel()  # it has begun nothing
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(self, partition: TopicPartition) -> None:
        """Run the lane of a partition, and another whenever it is lost, until it is revoked or drained."""
        pauses = _pauses()
        committed_offset, parked = None, self._parked.pop(partition, None)
        while True:
            lane = Lane(partition, self._equipment, committed_offset=committed_offset, parked=parked)
            self.current[partition] = lane
            if await lane.run() is not End.LOST or self._draining:
                return
            self._equipment.metrics.lanes_lost.inc()
            lane.started = False
            committed_offset, parked = lane.committed_offset, lane.parked
            if lane.committed_at_ms is not None:
                pauses = _pauses()  # it has worked in between: a new trouble, not the old one
            await asyncio.sleep(next(pauses))
            await self._equipment.membership.wait_for_heartbeat()


def _pauses() -> Iterator[float]:
    return itertools.chain(RESTART_PAUSES_S, itertools.repeat(RESTART_PAUSES_S[-1]))


async def _fail(what: str) -> None:
    raise FatalError(what)
