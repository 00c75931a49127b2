"""Closing a client takes bounded time and cancels no other task."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import CoordinatorNotAvailableError, ProducerClosed
from aiokafka.producer.message_accumulator import MessageAccumulator

from broker.probe import HOST
from consumer.settings import Settings
from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.topics import Broker
from tests.harness.unawaited import logged_unawaited
from tests.harness.waiting import DEADLINE_S, eventually
from transport.clients import open_reader
from transport.group.consumers import open_group_consumer
from transport.protocol.offsets import Member
from transport.protocol.requests import Prepared
from transport.settings.kafka import KafkaSettings
from transport.shutdown import abort_connections, stop_within
from transport.sink.connections import SinkConnections
from transport.sink.outcomes import NotCommitted
from transport.sink.producer import TransactionalProducer

PRODUCE, INIT_PRODUCER_ID = 0, 22


def leave_a_fetch_waiting(consumer: AIOKafkaConsumer) -> None:
    """Leave what a refused fetch leaves until it is repeated."""
    consumer._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(3_600)))


async def test_closing_a_consumer_with_a_waiting_fetch_does_not_cancel_its_owner(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    async with open_group_consumer(Settings()) as of_service:
        leave_a_fetch_waiting(of_service)
    async with open_reader(KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers)) as of_producer:
        leave_a_fetch_waiting(of_producer)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test runs in a task


async def test_closing_a_client_that_does_not_stop_ends_at_the_deadline() -> None:
    assert not await stop_within(asyncio.Event().wait, 0.01)  # type: ignore[arg-type]  # never ends, which is the point


@contextlib.asynccontextmanager
async def sending_to_a_silent_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[AIOKafkaClient, asyncio.Transport]]:
    """Open a client in the middle of a large dead letter, to a broker that reads nothing."""

    async def known(connection: AIOKafkaConnection) -> None:
        connection._versions = {}

    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", known)  # the peer would not answer
    with socket.create_server((HOST, 0)) as hanging:
        connection = AIOKafkaConnection(HOST, hanging.getsockname()[1])
        await connection.connect()
        connection._writer.write(bytes(2**24))
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:1")
        client._conns[1, ConnectionGroup.DEFAULT] = connection
        yield client, connection._writer.transport


async def test_a_connection_whose_peer_reads_nothing_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sending_to_a_silent_peer(monkeypatch) as (client, transport):
        assert not await stop_within(client.close, 0.1), "left alone, the client waits"
        transport.abort()
    async with sending_to_a_silent_peer(monkeypatch) as (client, transport):
        assert transport.get_write_buffer_size()
        async with asyncio.timeout(DEADLINE_S):
            await abort_connections(client, DEADLINE_S)
        assert transport.get_write_buffer_size() == 0


async def test_a_producer_that_is_not_waited_for_leaves_no_task_or_connection(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    opened, stopping = asyncio.Event(), asyncio.Event()
    clients: list[AIOKafkaClient] = []
    close = AIOKafkaClient.close

    async def own() -> None:
        async with SinkConnections.opened(Settings()) as connections:
            clients.append(connections._client)
            opened.set()
            await asyncio.Event().wait()

    async def hang_at_first(client: AIOKafkaClient) -> None:
        if not stopping.is_set():
            stopping.set()
            await asyncio.Event().wait()
        await close(client)

    owner = asyncio.create_task(own())
    await opened.wait()
    (client,) = clients
    connections = list(client._conns.values())
    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaClient, "close", hang_at_first)
        owner.cancel()
        await stopping.wait()
        owner.cancel()  # its time is over
        with pytest.raises(asyncio.CancelledError):
            await owner
    assert client._sync_task is None, "nothing asks for metadata any more"
    assert not [each for each in connections if each.connected()]


async def test_an_exception_while_stopping_is_logged() -> None:
    async def stop() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stop_within(stop, 1)


@pytest.fixture
async def logged() -> AsyncIterator[list[dict[str, Any]]]:
    with logged_unawaited() as logged:
        yield logged


async def test_a_producer_with_waiting_retries_leaves_no_task_or_connection(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    requests, results = (TopicPartition(topic, 0) for topic in (broker.topics.requests, broker.topics.predictions))
    refused: set[int] = set()
    send = SinkConnections.send

    async def refuse(connections: SinkConnections, node: int, request: Prepared) -> Any:
        key = request.struct.API_KEY
        if key != PRODUCE and not (key == INIT_PRODUCER_ID and refused):  # the first epoch is given
            return await send(connections, node, request)
        refused.add(key)
        raise CoordinatorNotAvailableError

    monkeypatch.setattr(SinkConnections, "send", refuse)

    async def own() -> None:
        async with SinkConnections.opened(Settings()) as connections:
            producer = TransactionalProducer(connections, f"{broker.group_id}.test", Settings())
            batches = {results: list(build_batches([OutgoingRecord(None, b"a", [])]))}
            while True:
                with contextlib.suppress(NotCommitted):
                    await producer.commit(batches, {requests: 1}, Member(broker.group_id, -1, ""))

    before = asyncio.all_tasks()
    owner = asyncio.create_task(own())
    await eventually(lambda: (refused, owner), lambda seen: {PRODUCE, INIT_PRODUCER_ID} <= seen[0])
    owner.cancel()
    await asyncio.wait({owner})
    assert owner.cancelled()
    assert not asyncio.all_tasks() - before
    gc.collect()
    assert logged == []


@pytest.mark.parametrize("first", ["given up", "to be repeated"])
async def test_a_known_leftover_of_the_client_is_not_logged(logged: list[dict[str, Any]], first: str) -> None:
    accumulator = MessageAccumulator(None, 2**10, 0, 1.0)
    builder, partition = accumulator.create_builder(), TopicPartition("results", 0)
    builder.append(timestamp=None, key=None, value=b"a")
    delivery = await accumulator.add_batch(builder, partition, 1.0)
    batch = accumulator._pop_batch(partition)
    if first == "to be repeated":
        accumulator.reenqueue(batch)
    accumulator.fail_all(ProducerClosed())
    with pytest.raises(ProducerClosed):
        await delivery
    if first == "given up":
        with pytest.raises(KeyError) as caught:
            accumulator.reenqueue(batch)
        asyncio.get_running_loop().call_exception_handler({"message": "a request", "exception": caught.value})
    assert logged == []


async def test_an_exception_of_a_task_that_is_not_awaited_is_logged(logged: list[dict[str, Any]]) -> None:
    ours: dict[str, int] = {}
    asyncio.get_running_loop().call_soon(ours.__getitem__, "a")
    await eventually(lambda: logged)
    assert isinstance(logged[0]["exception"], KeyError)
