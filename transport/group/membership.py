"""Whether the consumer group still counts us as a member."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from transport.errors import OwnershipLost
from transport.internals import coordinator_of, heartbeat_of, instance_id_of, must_rejoin, replace_heartbeat
from transport.protocol.offsets import Member

RETRY_PAUSE_S: Final = 0.25
HEARTBEAT_TIMEOUT_S: Final = 5.0


def boot_clock_s() -> float:
    """Return the seconds on a clock that also counts while the machine is suspended, as other members' clocks do.

    Linux's monotonic clock stops meanwhile: after an hour of suspension the last heartbeat would seem recent.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Membership:
    """When the group last confirmed that we are a member. Owner: the service; lanes call it.

    It records the time of each of the client's heartbeats. The coordinator removes a member that was silent for a
    session, and gives its partitions to other members. A process that was suspended and continues can detect this only
    by its clock.
    """

    def __init__(self, consumer: AIOKafkaConsumer, clock: Callable[[], float] = boot_clock_s) -> None:
        self._consumer = consumer
        self._beat = heartbeat_of(consumer)
        replace_heartbeat(consumer, self._noted_beat)
        self._clock = clock
        self._confirmed_s = self._assigned_s = -math.inf

    async def _noted_beat(self) -> bool:
        sent_s = self._clock()
        confirmed = await self._beat()
        if confirmed:
            self._confirmed_s = sent_s
        return confirmed

    def note_assignment(self, partitions: Iterable[TopicPartition]) -> None:
        """Record that the group has just assigned us these partitions, and keep the client from fetching them.

        `transport.source` fetches them. The client would hold a fetch of each in memory. It would also look for a start
        offset of its own; so it is given one.
        """
        self._assigned_s = self._clock()
        for partition in partitions:
            self._consumer.pause(partition)
            self._consumer.seek(partition, 0)

    @property
    def since_contact_s(self) -> float:
        """Seconds since the last confirmed heartbeat or assignment, for health."""
        return self._clock() - max(self._confirmed_s, self._assigned_s)

    def member(self) -> Member:
        """Return who we are in the present generation of the group, for the offsets of a lane that now begins.

        Raises
        ------
        OwnershipLost
            The group has removed us; the client joins again. Without a generation the coordinator would take offsets
            from anybody while the group is empty.
        """
        coordinator = coordinator_of(self._consumer)
        if coordinator.generation < 0:
            raise OwnershipLost("the group has removed this member")
        return Member(coordinator.group_id, coordinator.generation, coordinator.member_id, instance_id_of(coordinator))

    async def wait_for_heartbeat(self) -> None:
        """Return once the group has confirmed the present assignment by a heartbeat sent after the call.

        A lane whose offsets were refused cannot know whether there is a new owner. If we are not a member any more,
        the client joins again, which revokes all partitions: the caller is then cancelled here.
        """
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_TIMEOUT_S):
                    confirmed = await self._noted_beat()
            except (KafkaError, TimeoutError):
                confirmed = False  # the coordinator does not answer, or moves; the client looks for it
            # The client counts a heartbeat as confirmed also during a rebalance; then partitions are revoked soon.
            if confirmed and not must_rejoin(self._consumer):
                return
            await asyncio.sleep(RETRY_PAUSE_S)
