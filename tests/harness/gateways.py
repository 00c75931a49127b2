"""Gateways on a test's topics, and a service that the test plays for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from producer.web.gateway import search, sender
from producer.web.gateway.interface import Answer, NewRequest
from producer.web.gateway.keys import once as keys
from producer.web.gateway.opening import open_gateway
from producer.web.gateway.service import KafkaGateway
from producer.web.gateway.settings import GatewaySettings
from tests.harness.played_service import answer, publish
from tests.harness.topics import Broker
from transport.settings.kafka import ClientSettings, KafkaSettings

TIMEOUT_S: Final = 60.0
ROOT: Final = Path(__file__).parents[2]


def client_settings(broker: Broker) -> ClientSettings:
    """Return the settings of a client of these topics."""
    kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
    return ClientSettings(kafka=kafka, topics=broker.topics)


@contextlib.contextmanager
def patient(limit_s: float = TIMEOUT_S) -> Iterator[None]:
    """Have gateways give up no request before a test would: on a busy machine their own limits are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "SEND_TIMEOUT_S", limit_s)
        patch.setattr(keys, "SEND_TIMEOUT_S", limit_s)
        patch.setattr(search, "SEARCH_TIMEOUT_S", limit_s)
        yield


@contextlib.asynccontextmanager
async def running_gateway(broker: Broker, **settings: Any) -> AsyncIterator[KafkaGateway]:
    """Run a gateway on these topics; its keys have a topic of the test's own."""
    gateway = GatewaySettings(**{"keys_topic": f"{broker.topics.requests}.keys", "keys_partitions": 2, **settings})
    with patient():
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
async def gateway_process(
    broker: Broker, requests: Sequence[NewRequest], stop_at: str = "never"
) -> AsyncIterator[Process]:
    """Run a gateway as a process that submits requests with keys and prints a line for each that is answered.

    With `stop_at` it stops itself (SIGSTOP) at a point of its first transaction; see `tests.harness.gateway_program`.
    """
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.harness.gateway_program", f"{broker.topics.requests}.keys", stop_at),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        env=outside | broker.environment,
    )
    assert process.stdin is not None
    for each in requests:
        line = {"request_id": each.request_id, "tenant": each.tenant, "payload": each.payload.hex()}
        process.stdin.write(json.dumps(line).encode() + b"\n")
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def is_stopped(process: Process) -> bool:
    """Return whether a process has stopped itself."""
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[0] == "T"


@contextlib.asynccontextmanager
async def playing_service(broker: Broker, statuses: Sequence[str] = ("recognised",)) -> AsyncIterator[None]:
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
                yield None
            finally:
                stopping.set()
