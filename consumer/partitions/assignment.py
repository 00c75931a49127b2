"""The assignment of this instance: a lane for each partition that the group has given it, and never two for one.

Two lanes of one partition would share a fetch position, and fencing does not protect that: a fetch that is blocked
across a rebalance takes records after it. So the new lane of a partition starts after its old one has ended, and the
group waits for that in `on_partitions_revoked`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition

from consumer.partitions.lane import End, Lane, OpenLane
from consumer.partitions.observers import LaneObserver
from consumer.partitions.state import PartitionState
from consumer.shutdown_timeouts import REVOKE_TIMEOUT_S
from transport.errors import FatalError
from transport.group.membership import Membership
from transport.retry import repeating

log = structlog.get_logger()

RESTART_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0)
"""Before a lost lane starts again; the last one repeats."""


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """All lanes. Owner: the group's callbacks, which run one after the other, and the drain.

    Health reads `lanes`, `joined` and `silent_s`, nothing else.

    Parameters
    ----------
    open_lane
        Makes the lane of a partition.
    membership
        Whether the group counts us among its members.
    observer
        Receives the events.
    group
        The lanes' tasks run in it.
    """

    def __init__(
        self, open_lane: OpenLane, membership: Membership, observer: LaneObserver, group: asyncio.TaskGroup
    ) -> None:
        self._open_lane = open_lane
        self._membership = membership
        self._observer = observer
        self._group = group
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._draining = False
        self._parked: dict[TopicPartition, PartitionState] = {}
        """Partitions that were parked when they were revoked: they may come back."""
        self.lanes: dict[TopicPartition, Lane] = {}
        self.joined = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """End the lanes of these partitions; the client calls this before it joins the group again."""
        self.joined = False
        await self._end(list(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start a lane for each of these partitions; the client calls this when the group has decided.

        Heartbeats start only after this returns, so nothing is awaited here: the lanes fence in their tasks.
        """
        partitions = sorted(assigned)
        log.info("assigned", partitions=[partition.partition for partition in partitions])
        self._membership.note_assignment(partitions)
        self._observer.assigned(partitions)
        self.joined = True
        if self._draining:
            return
        for partition in partitions:
            if partition in self._tasks:  # the client swallows what is raised here, so a task raises it
                self._group.create_task(_fail(f"two lanes for {partition}"), name="two lanes")
                return
            name = f"lane {partition.topic}/{partition.partition}"
            self._tasks[partition] = self._group.create_task(self._keep(partition), name=name)

    @property
    def silent_s(self) -> float:
        """How long the group has not confirmed the membership, in seconds."""
        return self._membership.since_contact_s

    async def drain(self) -> None:
        """Let every lane publish what it has in flight, and end."""
        self._draining = True
        await self._stop(list(self._tasks), Lane.drain)

    async def _end(self, partitions: list[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(REVOKE_TIMEOUT_S):
                await self._stop(partitions, Lane.revoke)
        except TimeoutError:
            # The transaction stays open; the next owner's fencing start aborts it.
            late = [task for partition in partitions if (task := self._tasks.get(partition))]
            log.warning("lanes cancelled", lanes=[task.get_name() for task in late], action="left to the next owner")
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for partition in partitions:
            self._tasks.pop(partition, None)
            lane = self.lanes.pop(partition, None)
            if lane is not None and lane.state.parked is not None:
                self._parked[partition] = PartitionState(parked=lane.state.parked)

    async def _stop(self, partitions: list[TopicPartition], how: Callable[[Lane], None]) -> None:
        """Ask lanes to end, and wait until they have."""
        tasks = [task for partition in partitions if (task := self._tasks.get(partition))]
        for partition in partitions:
            lane = self.lanes.get(partition)
            if lane is not None and lane.started:
                how(lane)
            elif (task := self._tasks.get(partition)) is not None:
                task.cancel()  # it has begun nothing
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(self, partition: TopicPartition) -> None:
        """Run the lane of a partition, and another one each time it is lost, until it is revoked or drained."""
        pauses = repeating(RESTART_PAUSES_S)
        state = self._parked.pop(partition, None) or PartitionState()
        while True:
            lane = self.lanes[partition] = self._open_lane(partition, state)
            if await lane.run() is not End.LOST or self._draining:
                return
            self._observer.lane_lost()
            lane.started = False
            if lane.committed_at_ms is not None:
                pauses = repeating(RESTART_PAUSES_S)  # it has worked in between: this is another problem
            await asyncio.sleep(next(pauses))
            await self._membership.wait_for_heartbeat()


async def _fail(what: str) -> None:
    raise FatalError(what)
