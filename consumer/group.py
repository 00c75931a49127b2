"""Our membership of the consumer group: asking whether we still are a member."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

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
