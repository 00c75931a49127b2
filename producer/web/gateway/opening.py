"""Opens the gateway: looks at the topics, creates that of the keys if it is missing, and starts all tasks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from producer.web.gateway.keys.once import Keys, keys_partitions
from producer.web.gateway.keys.writer import KeyTopics
from producer.web.gateway.service import KafkaGateway, TopicsFound
from producer.web.gateway.settings import GatewaySettings
from producer.web.gateway.tasks import running_tasks
from transport.admin.cluster import UNLIMITED_BYTES, open_cluster
from transport.errors import KafkaRequestError, describe
from transport.settings.kafka import ClientSettings

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def open_gateway(
    settings: ClientSettings, gateway: GatewaySettings, notify: Callable[[str], None]
) -> AsyncIterator[KafkaGateway]:
    """Start a gateway, and stop it at the end; what is not acknowledged then is given up.

    Parameters
    ----------
    settings, gateway
        The brokers, the topics, and the gateway's own settings.
    notify
        Is given a sentence if the brokers do not answer yet.

    Raises
    ------
    KafkaRequestError
        Kafka cannot be reached, or lacks a topic.
    """
    kafka, topics = settings.kafka, settings.topics
    async with open_cluster(kafka, notify) as cluster:
        found = TopicsFound(
            cluster.partitions(topics, "requests"),
            cluster.partitions(topics, "predictions"),
            await cluster.max_message_bytes(topics.requests),
        )
        keys_found: int | KafkaRequestError
        try:
            keys_found = await keys_partitions(settings, gateway, cluster, notify)
        except KafkaRequestError as error:
            log.warning("keys unavailable", why=describe(error), action="refusing requests with a key")
            keys_found = error
    key_topics = KeyTopics(kafka, topics.requests, gateway.keys_topic, found.limit_bytes or UNLIMITED_BYTES)
    async with running_tasks() as start:
        keys = Keys(key_topics, keys_found, gateway.max_keys, start) if isinstance(keys_found, int) else keys_found
        running = KafkaGateway(settings, gateway, found, keys, start)
        await running.started()
        yield running
