"""What the brokers report: which of them lead, which are in sync, whether the coordinators answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.chaos.plan import MEMBERS
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

ANSWER_S: Final = 1.0
"""For one question; a node that is frozen is not waited for, since the next question may go to another."""
REPAIRED_S: Final = 180.0
"""For leaders to move, or followers to catch up, on a busy machine."""

Partition = dict[str, Any]


class ClusterView:
    """Asks the brokers for the state of the cluster. Owner: the track of the brokers."""

    def __init__(self, admin: AIOKafkaAdminClient, broker: Broker) -> None:
        self._admin = admin
        self._broker = broker

    async def led_by(self, node: int) -> frozenset[int]:
        """Return the partitions whose requests or results a node leads."""
        topics = (self._broker.topics.requests, self._broker.topics.predictions)
        return frozenset(
            partition["partition"]
            for topic in await self._topics()
            if topic["topic"] in topics
            for partition in topic["partitions"]
            if partition["leader"] == node
        )

    async def continues_without(self, node: int) -> None:
        """Wait until every partition is led by another node, and the group's coordinator is another one."""

        async def depends() -> bool:
            led = await self._all(lambda partition: partition["leader"] not in (node, -1))
            coordinator = await self._answer(self._admin.find_coordinator(self._broker.group_id))
            return not led or coordinator in (node, -1)

        await eventually(depends, lambda answer: not answer, deadline_s=REPAIRED_S)

    async def repaired(self) -> None:
        """Wait until every partition has all its copies in sync, and is led by the node it was meant for."""

        def well(partition: Partition) -> bool:
            return len(partition["isr"]) == MEMBERS and partition["leader"] == partition["replicas"][0]

        await eventually(lambda: self._all(well), deadline_s=REPAIRED_S)

    async def _all(self, holds: Callable[[Partition], bool]) -> bool:
        topics = await self._topics()
        return bool(topics) and all(holds(partition) for topic in topics for partition in topic["partitions"])

    async def _topics(self) -> list[dict[str, Any]]:
        topics: list[dict[str, Any]] = await self._answer(self._admin.describe_topics())
        return topics

    async def _answer(self, question: Any) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await question
        except (KafkaError, TimeoutError) as error:
            raise ConnectionError(repr(error)) from error  # not yet, as `eventually` has it


@contextlib.asynccontextmanager
async def open_view(broker: Broker) -> AsyncIterator[ClusterView]:
    """Open a view on the cluster of these topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.cluster.bootstrap_servers)
    await admin.start()
    try:
        yield ClusterView(admin, broker)
    finally:
        await admin.close()
