"""What lanes request from the consumer group: a confirmation that we are a member, and committed offsets."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from transport.internals import coordinator_of, heartbeat_of, must_rejoin, replace_heartbeat, send_to_coordinator
from transport.retry import retry

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

    def __init__(self, consumer: AIOKafkaConsumer, session_s: float, clock: Callable[[], float] = boot_clock_s) -> None:
        self._consumer = consumer
        self._beat = heartbeat_of(consumer)
        replace_heartbeat(consumer, self._noted_beat)
        self._session_s = session_s
        self._clock = clock
        self._confirmed_s = self._assigned_s = -math.inf

    async def _noted_beat(self) -> bool:
        sent_s = self._clock()
        confirmed = await self._beat()
        if confirmed:
            self._confirmed_s = sent_s
        return confirmed

    def note_assignment(self) -> None:
        """Record that the group has just assigned us partitions, or none."""
        self._assigned_s = self._clock()

    @property
    def since_contact_s(self) -> float:
        """Seconds since the last confirmed heartbeat or assignment, for health."""
        return self._clock() - max(self._confirmed_s, self._assigned_s)

    async def ensure_confirmed(self) -> None:
        """Return at once if the last confirmed heartbeat is less than a session old; else `wait_for_heartbeat`."""
        if self._clock() - self._confirmed_s >= self._session_s:
            await self.wait_for_heartbeat()

    async def wait_for_heartbeat(self) -> None:
        """Return once the group has confirmed the present assignment by a heartbeat sent after the call.

        A lane that was fenced cannot know whether a new owner did it, or the broker, because a transaction timed
        out. Starting a producer without a confirmation could take the partition away from its new owner. If we are not
        a member any more, the client joins again, which revokes all partitions: the caller is then cancelled here.
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


async def committed_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the group's committed offset, None if there is none; the caller sets a deadline.

    The client's own `committed` ignores the error code of the whole response. A broker that is not the coordinator any
    more, or has not loaded the offsets yet, then seems to have no offset, and the partition would be processed again
    from its beginning.
    Forced by test_the_service_finds_the_committed_offset_after_the_coordinator_moved.

    Raises
    ------
    KafkaError
        The group refuses.
    """
    coordinator = coordinator_of(consumer)
    request = OffsetFetchRequest(coordinator.group_id, [(partition.topic, [partition.partition])])

    async def fetch() -> int | None:
        await coordinator.ensure_coordinator_known()
        try:
            offset = _only_offset(await send_to_coordinator(consumer, request))
        except (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError):
            coordinator.coordinator_dead()
            raise
        return None if offset < 0 else offset

    moving = (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError, GroupLoadInProgressError)
    return await retry(fetch, on=moving, pause_s=RETRY_PAUSE_S)


def _only_offset(response: Any) -> int:
    """Return the one offset in a response, or raise the error that the response contains."""
    if response.error_code:
        raise for_code(response.error_code)
    if not response.topics:
        raise GroupLoadInProgressError("the answer does not name the partition")
    _, offset, _, code = response.topics[0][1][0]
    if code:
        raise for_code(code)
    return int(offset)
