"""Gateways on a test's topics, and a service that the test plays for them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from producer.web.gateway.interface import Answer, NewRequest
from producer.web.gateway.opening import open_gateway
from producer.web.gateway.service import KafkaGateway
from producer.web.gateway.settings import GatewaySettings
from tests.harness.played_service import answer, publish
from tests.harness.topics import Broker
from transport.settings.kafka import ClientSettings, KafkaSettings

TIMEOUT_S = 60.0


def client_settings(broker: Broker) -> ClientSettings:
    """Return the settings of a client of these topics."""
    kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
    return ClientSettings(kafka=kafka, topics=broker.topics)


@contextlib.asynccontextmanager
async def running_gateway(broker: Broker, **settings: Any) -> AsyncIterator[KafkaGateway]:
    """Run a gateway on these topics; its keys have a topic of the test's own."""
    gateway = GatewaySettings(**{"keys_topic": f"{broker.topics.requests}.keys", "keys_partitions": 2, **settings})
    async with open_gateway(client_settings(broker), gateway, lambda _: None) as running:
        yield running


def new_request(gateway: KafkaGateway, payload: bytes = b"image", tenant: str = "anna") -> NewRequest:
    """Return a request without a key."""
    return NewRequest(gateway.new_request_id(), tenant, payload, filename="seven.png")


def once(payload: bytes = b"image", key: str | None = None, tenant: str = "anna") -> NewRequest:
    """Return a request with a key."""
    return NewRequest(key or uuid.uuid4().hex, tenant, payload, once=True)


async def followed(gateway: KafkaGateway, request: NewRequest) -> list[Answer]:
    """Return all answers to a request."""
    async with asyncio.timeout(TIMEOUT_S):
        return [each async for each in gateway.follow(request.request_id, request.tenant)]


@contextlib.asynccontextmanager
async def playing_service(
    broker: Broker, statuses: Sequence[str] = ("recognised",)
) -> AsyncIterator[asyncio.Task[None]]:
    """Answer every request with these statuses while the body runs, and commit the offsets."""
    partitions = [TopicPartition(broker.topics.requests, number) for number in range(broker.partitions)]
    consumer = AIOKafkaConsumer(
        **broker.cluster.client_options,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )

    stopping = asyncio.Event()

    async def play() -> None:
        while not stopping.is_set():  # a client that is cancelled while it starts stays open
            for partition, requests in (await consumer.getmany(timeout_ms=100)).items():
                results = [each for request in requests for each in answer(broker, request, statuses).results]
                await publish(broker, results, committed={partition.partition: requests[-1].offset + 1})

    async with consumer:
        consumer.assign(partitions)
        async with asyncio.TaskGroup() as group:
            group.create_task(play(), name="played service")
            try:
                yield
            finally:
                stopping.set()
