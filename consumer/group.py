"""What the lanes ask the consumer group: whether we still are a member, and what is committed."""

from __future__ import annotations

import asyncio
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

ASK_PAUSE_S: Final = 0.25
ASK_TIMEOUT_S: Final = 5.0


async def still_member(consumer: AIOKafkaConsumer) -> None:
    """Return once the group has confirmed the present assignment by a heartbeat sent after the call.

    Who is fenced cannot know by whom: by a new owner, or by the broker when its own transaction timed out.
    Fencing back without asking would take the partition from its rightful owner. If we are no member any
    more, the client joins anew, which revokes all partitions: the caller is then cancelled while it waits.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # nothing public tells of heartbeats; pinned to this minor version
    while True:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                confirmed = await coordinator._do_heartbeat()  # noqa: SLF001  # as above
        except (KafkaError, TimeoutError):
            confirmed = False  # the coordinator is away or moving; the client looks for it
        # A heartbeat also counts as good while the group rebalances: then the answer comes by revocation.
        if confirmed and not coordinator.need_rejoin(consumer._subscription.subscription):  # noqa: SLF001  # as above
            return
        await asyncio.sleep(ASK_PAUSE_S)


async def committed_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the offset that the group has committed, None if it never has; set a deadline around it.

    Not the client's own `committed`: it passes over the error of the group as a whole, so that a broker which is not
    the coordinator any more, or has not loaded the offsets yet, seems to say that there are none. The partition would
    be answered again from its beginning.
    Forced by test_a_partition_is_not_begun_anew_when_another_broker_has_become_the_groups_coordinator.

    Raises
    ------
    KafkaError
        The group refuses.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # see above
    request = OffsetFetchRequest(coordinator.group_id, [(partition.topic, [partition.partition])])
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            response = await coordinator._send_req(request)  # noqa: SLF001  # as above
            offset = _only_offset(response)
        except (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError):
            coordinator.coordinator_dead()
        except GroupLoadInProgressError:
            pass
        else:
            return None if offset < 0 else offset
        await asyncio.sleep(ASK_PAUSE_S)


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
