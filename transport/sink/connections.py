"""The connections of one transactional producer: requests to leaders and coordinators, with deadlines by progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, RequestTimedOutError

from transport.internals import DEFAULT_USE
from transport.metadata import patch_client
from transport.protocol.requests import Prepared
from transport.request_progress import send_request
from transport.settings.kafka import GroupSettings
from transport.shutdown import STOP_TIMEOUT_S, abort_connections, stop_within

NO_LEADER: Final = -1
START_TIMEOUT_S: Final = 15.0
METADATA_AGE_MS: Final = 60_000
"""A leader that has moved is noticed when the former one refuses a request, so there is no hurry."""


class SinkConnections:
    """Connections to all brokers, apart from those that fetch. Owner: one producer.

    Parameters
    ----------
    client
        A started client.
    request_timeout_s
        After this time without progress a broker is given up.
    use
        Which connections of the client are those of this producer.
    """

    def __init__(self, client: AIOKafkaClient, request_timeout_s: float, use: object = DEFAULT_USE) -> None:
        self._client = client
        self._timeout_s = request_timeout_s
        self._use = use
        self._coordinators: dict[tuple[int, str], int] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, settings: GroupSettings, servers: Sequence[str] = ()) -> AsyncIterator[SinkConnections]:
        """Connect to the cluster, and close all connections at the end.

        Parameters
        ----------
        settings
            The brokers, topics and time limits.
        servers
            Brokers that are known to be alive, ``host:port``; they are tried before those of the settings.

        Raises
        ------
        KafkaError
            No broker can be reached in `START_TIMEOUT_S`.
        """
        options = settings.kafka.client_options()
        known = [*servers, *options["bootstrap_servers"]]
        client = AIOKafkaClient(
            **options | {"bootstrap_servers": known},
            request_timeout_ms=settings.kafka.request_timeout_ms,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        patch_client(client, settings.kafka.request_timeout_ms, settings.topics.names)
        timeout_s = settings.kafka.request_timeout_ms / 1000
        in_order = False
        try:
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await client.bootstrap()
                    await client.set_topics(settings.topics.names)
            except TimeoutError as error:
                raise RequestTimedOutError(f"no broker has answered for {START_TIMEOUT_S:g} s") from error
            yield cls(client, timeout_s)
        finally:
            try:
                in_order = await stop_within(client.close, STOP_TIMEOUT_S)
            finally:  # also when this task is cancelled while it waits
                if not in_order:
                    await abort_connections(client, STOP_TIMEOUT_S)

    def apart(self, use: object) -> SinkConnections:
        """Return connections for another producer, which knows the same brokers."""
        return SinkConnections(self._client, self._timeout_s, use)

    def leader(self, partition: TopicPartition) -> int | None:
        """Return the broker that leads a partition; None if there is none, or no such partition."""
        leader: int | None = self._client.cluster.leader_for_partition(partition)
        return None if leader == NO_LEADER else leader

    async def refresh(self) -> None:
        """Ask for the leaders of all partitions again, since a broker has refused a request."""
        await self._client.force_metadata_update()

    async def find_brokers(self) -> None:
        """Ask for leaders and coordinators again after a failure; if no broker answers, those of the settings.

        All brokers that are known may be gone.
        Forced by test_brokers_at_new_addresses_are_found_by_the_settings.
        """
        self.forget_coordinators()
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                if not await self._client.force_metadata_update():
                    await self._client.bootstrap()
                    await self._client.force_metadata_update()  # a bootstrap finds brokers, not topics

    async def transaction_coordinator(self, transactional_id: str) -> int:
        """Return the broker that coordinates the transactions of a producer."""
        return await self._coordinator(CoordinationType.TRANSACTION, transactional_id)

    async def group_coordinator(self, group_id: str) -> int:
        """Return the broker that keeps the offsets of a group."""
        return await self._coordinator(CoordinationType.GROUP, group_id)

    def forget_coordinators(self) -> None:
        """Ask for the coordinators again before the next request: they have moved, or do not answer."""
        self._coordinators.clear()

    async def _coordinator(self, kind: int, key: str) -> int:
        if (kind, key) not in self._coordinators:
            async with asyncio.timeout(self._timeout_s):
                self._coordinators[kind, key] = await self._client.coordinator_lookup(kind, key)
        return self._coordinators[kind, key]

    async def send(self, node: int, request: Prepared) -> Any:
        """Send a request to a broker and return its answer.

        Raises
        ------
        KafkaError
            As `send_request` does.
        """
        return await send_request(self._client, node, request, self._timeout_s, use=self._use)
