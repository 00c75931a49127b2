"""All that is needed to send a request once: the topic of keys, its index, and the writers of its partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from producer.web.gateway.ids import WireId
from producer.web.gateway.interface import UnavailableError
from producer.web.gateway.keys.index import KeyIndex, UsedKey
from producer.web.gateway.keys.writer import KeyPartition, KeyTopics
from producer.web.gateway.records import Sendable
from producer.web.gateway.sender import SEND_TIMEOUT_S
from producer.web.gateway.settings import GatewaySettings
from producer.web.gateway.tail import Tail
from producer.web.gateway.tasks import Start
from transport.admin.cluster import ClusterAdmin, open_cluster
from transport.clients import request_deadline
from transport.errors import KafkaRequestError, describe
from transport.settings.kafka import ClientSettings

LISTED_INTERVAL_S: Final = 0.1
LISTED_TIMEOUT_S: Final = 15.0
DEFAULT_RETENTION_MS: Final = "604800000"
ENOUGH_REPLICAS: Final = 3


class Keys:
    """Sends requests with a key. Owner: the gateway.

    Parameters
    ----------
    topics
        Where requests and keys are written.
    partitions
        Of the keys topic.
    max_keys
        In memory.
    start
        Starts its tasks.
    """

    def __init__(self, topics: KeyTopics, partitions: int, max_keys: int, start: Start) -> None:
        self.index = KeyIndex(max_keys)
        self._topics = topics
        self._count = partitions
        self._start = start
        self._tail = Tail(topics.kafka, topics.keys, partitions, self.index.take, from_beginning=True)
        self._partitions: dict[int, KeyPartition] = {}
        start(self._tail.run(), "keys")

    @property
    def failure(self) -> str | None:
        """Why requests with a key cannot be sent at the moment; None if they can."""
        return self._tail.failure

    @property
    def committed(self) -> int:
        """Transactions that were committed."""
        return sum(each.committed for each in self._partitions.values())

    @property
    def failed(self) -> int:
        """Transactions that failed, or of which it is not known."""
        return sum(each.failed for each in self._partitions.values())

    async def look_up(self, wire_id: WireId) -> UsedKey | None:
        """Return where the request with a key is, whichever gateway has sent it; None if the key was not used.

        Raises
        ------
        UnavailableError
            Kafka does not answer.
        """
        if (used := self.index.get(wire_id)) is not None:
            return used
        try:
            await self._tail.reached(wire_id.partition(self._count))
        except KafkaRequestError as error:
            raise UnavailableError("the keys could not be read in time", describe(error)) from error
        return self.index.get(wire_id)

    async def send(self, request: Sendable) -> tuple[UsedKey, bool]:
        """Send a request unless its key was used; return where it is, and whether it was sent just now.

        Raises
        ------
        UnavailableError
            It is not known whether it was sent; the same call finds out.
        """
        writer = self._writer(request.wire_id.partition(self._count))
        try:
            async with request_deadline("send a request with a key", SEND_TIMEOUT_S):
                return await writer.send(request)
        except KafkaRequestError as error:
            why = f"{describe(error)}; last failure: {writer.failure}"
            raise UnavailableError("the request was not acknowledged in time", why) from error

    def _writer(self, number: int) -> KeyPartition:
        if (writer := self._partitions.get(number)) is None:
            writer = self._partitions[number] = KeyPartition(self._topics, number, self.index, self._tail)
            self._start(writer.run(), f"keys {number}")
        return writer


async def keys_partitions(
    settings: ClientSettings, gateway: GatewaySettings, cluster: ClusterAdmin, notify: Callable[[str], None]
) -> int:
    """Return how many partitions the keys topic has; create it if it is missing.

    Raises
    ------
    KafkaRequestError
        It is missing, and this user may not create it.
    """
    if count := cluster.partition_count(gateway.keys_topic):
        return count
    requests = (await cluster.topics_found(settings.topics))[settings.topics.requests]
    # A key is kept as long as its request is. No compaction: it would keep the keys of requests that are gone.
    retention_ms = (requests.config or {}).get("retention.ms", DEFAULT_RETENTION_MS)
    configs = {"cleanup.policy": "delete", "retention.ms": retention_ms}
    if requests.replicas >= ENOUGH_REPLICAS:
        configs["min.insync.replicas"] = "2"
    await cluster.create_topics(
        {gateway.keys_topic: configs}, partitions=gateway.keys_partitions, replicas=requests.replicas
    )
    async with request_deadline(f"find topic {gateway.keys_topic!r} after its creation", LISTED_TIMEOUT_S):
        while True:  # other gateways may have created it, with another number of partitions
            async with open_cluster(settings.kafka, notify) as listed:
                if count := listed.partition_count(gateway.keys_topic):
                    return count
            await asyncio.sleep(LISTED_INTERVAL_S)
