"""The relay stalls or slows connections, does not lose a byte, and is the only address that its clients use."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from aiokafka import AIOKafkaProducer

from broker import running_broker
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.relay import relaying
from tests.harness.topics import fresh_topics
from tests.harness.waiting import eventually

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SILENCE_S = 0.2
"""How long nothing must arrive. A relay that passes bytes on does so within a millisecond."""


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        while line := await reader.readline():
            writer.write(line)


async def _answer(connection: Connection) -> bytes:
    async with asyncio.timeout(SILENCE_S):
        return await connection[0].readline()


async def test_a_stalled_connection_is_silent_and_goes_on_where_it_was() -> None:
    relay_port, port = free_ports(2)
    async with await asyncio.start_server(_echo, HOST, port), relaying(relay_port, port) as relay:
        old = await asyncio.open_connection(HOST, relay_port)
        with relay.stalled():
            new = await asyncio.open_connection(HOST, relay_port)
            for _, writer in (old, new):
                writer.write(b"1\n")
            for connection in (old, new):
                with pytest.raises(TimeoutError):
                    await _answer(connection)
        for reader, writer in (old, new):
            writer.write(b"2\n")
            assert [await reader.readline() for _ in range(2)] == [b"1\n", b"2\n"]
            writer.close()


async def test_one_connection_stalls_and_the_others_do_not_notice() -> None:
    relay_port, port = free_ports(2)
    async with await asyncio.start_server(_echo, HOST, port), relaying(relay_port, port) as relay:
        connections = [await asyncio.open_connection(HOST, relay_port) for _ in range(3)]
        for _, writer in connections:
            writer.write(b"1\n")
        assert [await reader.readline() for reader, _ in connections] == [b"1\n"] * 3
        with relay.one_stalled(0.5):
            for _, writer in connections:
                writer.write(b"2\n")
            answers = [asyncio.create_task(reader.readline()) for reader, _ in connections]
            await eventually(lambda: [each.done() for each in answers], lambda done: done == [True, False, True])
        assert [await each for each in answers] == [b"2\n"] * 3
        for _, writer in connections:
            writer.close()


async def test_all_connections_of_a_slow_line_share_its_rate_in_both_directions() -> None:
    relay_port, port = free_ports(2)
    line = b"x" * 20_000 + b"\n"
    async with (
        await asyncio.start_server(_echo, HOST, port),
        relaying(relay_port, port, bytes_per_s=400_000) as relay,
    ):
        connections = [await asyncio.open_connection(HOST, relay_port) for _ in range(2)]
        begun_s = time.monotonic()
        for _, writer in connections:
            writer.write(line)
        assert [await reader.readline() for reader, _ in connections] == [line] * 2
        assert relay.line.carried_bytes == 4 * len(line)
        assert time.monotonic() - begun_s >= relay.line.carried_bytes / 400_000 - SILENCE_S / 10
        for _, writer in connections:
            writer.close()


@pytest.mark.slow  # a broker starts for it
async def test_a_client_that_connects_through_a_relay_keeps_using_it() -> None:
    [relay_port] = free_ports(1)
    with running_broker(relays=[relay_port]) as cluster:
        async with fresh_topics(cluster) as broker, relaying(relay_port, cluster.nodes[0].relayed_port) as relay:
            async with AIOKafkaProducer(bootstrap_servers=f"{HOST}:{relay_port}") as producer:
                await producer.send_and_wait(broker.topics.requests, b"before", partition=0)
                with relay.stalled():
                    sending = asyncio.ensure_future(
                        producer.send_and_wait(broker.topics.requests, b"late", partition=0)
                    )
                    assert not (await asyncio.wait({sending}, timeout=SILENCE_S))[0]
                    await broker.send([b"by the usual way"], partition=0)
                await sending
            values = [record.value for record in await broker.read(broker.topics.requests)]
            assert values == [b"before", b"by the usual way", b"late"]
