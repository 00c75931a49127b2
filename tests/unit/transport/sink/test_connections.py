"""A broker is waited for as long as bytes move, and given up when none do; played by a peer on a local socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, RequestTimedOutError

from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.waiting import DEADLINE_S, eventually
from transport import request_progress
from transport.protocol.produce import produce
from transport.protocol.requests import Prepared
from transport.protocol.transactions import Producer, end_transaction
from transport.settings.kafka import GroupKafkaSettings, GroupSettings
from transport.sink import connections as module
from transport.sink.connections import SinkConnections

TIMEOUT_S = 0.2
NODE = 1
LARGE_BYTES = 2**24
SLOW_PIECES = 5
END = end_transaction(Producer("group.0", 1, 1), commit=True, version_2=True)
END_ANSWER = bytes.fromhex("00 00000000 0000 0000000000000001 0002 00")
PRODUCE_ANSWER = bytes.fromhex("00 01 00000000 00")
"""After the correlation id: no tags, no topics, not throttled, no tags."""
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def large_batch() -> Prepared:
    return produce("group.0", {TopicPartition("a", 0): bytes(LARGE_BYTES)}, 1_000, version_2=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return the correlation id of the next request."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    head = await reader.readexactly(8)
    await reader.readexactly(size - 8)
    return head[4:]


def answer(writer: asyncio.StreamWriter, correlation_id: bytes, body: bytes) -> None:
    writer.write(struct.pack(">i", len(body) + 4) + correlation_id + body)


@contextlib.asynccontextmanager
async def connected(monkeypatch: pytest.MonkeyPatch, peer: Peer) -> AsyncIterator[SinkConnections]:
    """Connect to a peer, whose receive buffer is small."""

    async def known(connection: AIOKafkaConnection) -> None:
        connection._versions = dict.fromkeys(range(100), (0, 99))

    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", known)  # a peer need not answer it
    played: list[asyncio.Task[None]] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.append(asyncio.current_task())  # type: ignore[arg-type]  # a connection's task
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await peer(reader, writer)

    listening = socket.create_server((HOST, 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    async with await asyncio.start_server(play, sock=listening, limit=64 * 1024):
        connection = AIOKafkaConnection(HOST, listening.getsockname()[1])
        await connection.connect()
        connection._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:1")
        client._conns[NODE, ConnectionGroup.DEFAULT] = connection
        yield SinkConnections(client, TIMEOUT_S)
        connection.close()
        for task in played:
            task.cancel()
        await asyncio.gather(*played, return_exceptions=True)
        await client.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader, writer
    await asyncio.Event().wait()


class Looks:
    """Lets a peer wait until the client has looked whether bytes have moved, as it does after each timeout."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._moved_bytes = request_progress._moved_bytes
        monkeypatch.setattr(request_progress, "_moved_bytes", self._look)

    def _look(self, connection: Any) -> int:
        moved = self._moved_bytes(connection)
        for each in self._waiting:
            each.set_result(None)
        self._waiting.clear()
        return moved

    async def next(self) -> None:
        """Return when it has looked."""
        look: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(look)
        await look


def slow(looks: Looks, *answers: bytes) -> Peer:
    """Play a broker that reads a piece of a request in each timeout, and then answers."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in answers:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            head = await reader.readexactly(8)
            for _ in range(SLOW_PIECES):
                await looks.next()
                await reader.readexactly((size - 8) // SLOW_PIECES)
            await reader.readexactly((size - 8) % SLOW_PIECES)
            answer(writer, head[4:], body)

    return peer


async def test_an_answer_is_returned_and_the_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prompt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            answer(writer, await read_request(reader), END_ANSWER)

    async with connected(monkeypatch, prompt) as connections:
        for _ in range(3):
            answered = await connections.send(NODE, END)
            assert (answered.error_code, answered.producer_id, answered.epoch) == (0, 1, 2)
        assert len(connections._client._conns) == 1


async def test_a_broker_that_reads_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = slow(Looks(monkeypatch), PRODUCE_ANSWER)
    async with connected(monkeypatch, peer) as connections, asyncio.timeout(DEADLINE_S):
        begin_s = asyncio.get_running_loop().time()
        await connections.send(NODE, large_batch())
        assert asyncio.get_running_loop().time() - begin_s > 2 * TIMEOUT_S


async def test_a_request_before_a_large_one_that_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not sent yet grows when the second request is queued, although bytes move all the time."""
    looks = Looks(monkeypatch)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await read_request(reader)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        head = await reader.readexactly(8)
        for _ in range(SLOW_PIECES):
            await looks.next()
            await reader.readexactly((size - 8) // SLOW_PIECES)
        answer(writer, first, END_ANSWER)
        await reader.readexactly((size - 8) % SLOW_PIECES)
        answer(writer, head[4:], PRODUCE_ANSWER)

    async with connected(monkeypatch, late) as connections, asyncio.timeout(DEADLINE_S):
        ended, _ = await asyncio.gather(connections.send(NODE, END), connections.send(NODE, large_batch()))
        assert ended.epoch == 2


@pytest.mark.parametrize("request_of", [lambda: END, large_batch], ids=["small", "large"])
async def test_a_broker_that_makes_no_progress_is_given_up_and_closed(
    monkeypatch: pytest.MonkeyPatch, request_of: Callable[[], Prepared]
) -> None:
    async with connected(monkeypatch, silent) as connections, asyncio.timeout(DEADLINE_S):
        (connection,) = connections._client._conns.values()
        with pytest.raises(RequestTimedOutError, match=r"broker 1 made no progress for 0\.2 s"):
            await connections.send(NODE, request_of())
        await eventually(lambda: not connection.connected())


async def test_a_cancelled_request_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch, silent) as connections:
        (connection,) = connections._client._conns.values()
        sending = asyncio.create_task(connections.send(NODE, large_batch()))
        await eventually(lambda: connection._requests)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: not connection.connected())


async def test_a_connection_that_closes_before_the_answer_leaves_the_outcome_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await read_request(reader)

    async with connected(monkeypatch, leaving) as connections:
        with pytest.raises(KafkaConnectionError):
            await connections.send(NODE, END)


async def test_a_broker_that_cannot_be_reached_has_done_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch, silent) as connections:

        async def unreachable(_: Any, node: int, __: object) -> None:
            assert node == NODE

        monkeypatch.setattr(request_progress, "connection_to", unreachable)
        with pytest.raises(NodeNotReadyError, match="broker 1 cannot be reached"):
            await connections.send(NODE, END)

        async def hanging(_: Any, node: int, __: object) -> None:
            assert node == NODE
            await asyncio.Event().wait()

        monkeypatch.setattr(request_progress, "connection_to", hanging)
        with pytest.raises(NodeNotReadyError, match="broker 1 does not accept connections"):
            await connections.send(NODE, END)


async def test_coordinators_are_looked_up_once_until_they_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch, silent) as connections:
        looked_up: list[tuple[int, str]] = []

        async def look_up(kind: int, key: str) -> int:
            looked_up.append((kind, key))
            return len(looked_up)

        monkeypatch.setattr(connections._client, "coordinator_lookup", look_up)
        for _ in range(2):
            assert await connections.transaction_coordinator("same") == 1
            assert await connections.group_coordinator("same") == 2
        connections.forget_coordinators()
        assert await connections.group_coordinator("same") == 3
        assert looked_up == [(1, "same"), (0, "same"), (0, "same")]


async def test_a_partition_without_leader_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch, silent) as connections:
        leaders = {0: 4, 1: -1, 2: None}
        monkeypatch.setattr(
            connections._client.cluster, "leader_for_partition", lambda partition: leaders[partition.partition]
        )
        assert [connections.leader(TopicPartition("a", number)) for number in leaders] == [4, None, None]


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_start_without_a_broker_ends_with_an_error_of_the_client(
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", TIMEOUT_S)
    (unused,) = free_ports(1)
    with socket.create_server((HOST, 0)) as hanging:
        port = hanging.getsockname()[1] if hangs else unused
        settings = GroupSettings(kafka=GroupKafkaSettings(bootstrap_servers=f"{HOST}:{port}"))
        with pytest.raises(KafkaError):
            async with SinkConnections.opened(settings):
                pytest.fail("it is open")
