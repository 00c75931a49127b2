"""What the lanes ask the consumer group: whether we still are a member, and what is committed."""

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
    """Return seconds on a clock that goes on while the machine is suspended, as other members' clocks do.

    Linux's monotonic clock stands still meanwhile: after an hour of suspension the last heartbeat would look recent.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Membership:
    """Whether the group counts us among its members, as far as we know. Owner: the service; lanes ask.

    The client's own heartbeats are noted here. Who was silent for a session may have been put out of the group, and
    the partitions may be somebody else's: a process that was stopped and goes on knows it by its clock alone.
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
        """Note that the group has just given us partitions, or none."""
        self._assigned_s = self._clock()

    @property
    def since_contact_s(self) -> float:
        """How long nothing good was heard from the group: for health."""
        return self._clock() - max(self._confirmed_s, self._assigned_s)

    async def ensure_confirmed(self) -> None:
        """Return at once if the last confirmed heartbeat is less than a session old; else `wait_for_heartbeat`."""
        if self._clock() - self._confirmed_s >= self._session_s:
            await self.wait_for_heartbeat()

    async def wait_for_heartbeat(self) -> None:
        """Return once the group has confirmed the present assignment by a heartbeat sent after the call.

        Who is fenced cannot know by whom: by a new owner, or by the broker when its own transaction timed out.
        Fencing back without asking would take the partition from its rightful owner. If we are no member any
        more, the client joins anew, which revokes all partitions: the caller is then cancelled while it waits.
        """
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_TIMEOUT_S):
                    confirmed = await self._noted_beat()
            except (KafkaError, TimeoutError):
                confirmed = False  # the coordinator is away or moving; the client looks for it
            # A heartbeat also counts as good while the group rebalances: then the answer comes by revocation.
            if confirmed and not must_rejoin(self._consumer):
                return
            await asyncio.sleep(RETRY_PAUSE_S)


async def committed_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the offset that the group has committed, None if it never has; set a deadline around it.

    Not the client's own `committed`: it passes over the error of the group as a whole, so that a broker which is not
    the coordinator any more, or has not loaded the offsets yet, seems to say that there are none. The partition would
    be answered again from its beginning.
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
    """Take the one offset out of an answer, or raise the error that it carries."""
    if response.error_code:
        raise for_code(response.error_code)
    if not response.topics:
        raise GroupLoadInProgressError("the answer does not name the partition")
    _, offset, _, code = response.topics[0][1][0]
    if code:
        raise for_code(code)
    return int(offset)
