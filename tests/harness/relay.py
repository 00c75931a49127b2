"""A relay in front of a broker: passes connections on, and can leave them hanging as a bad network does.

A stalled connection stays open and silent on both sides; what was sent meanwhile arrives when it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from broker.probe import HOST

CHUNK_BYTES: Final = 64 * 1024


class Relay:
    """One listening port, and every connection through it. Made by `relaying`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._all_flow = asyncio.Event()
        self._all_flow.set()
        self._flows: dict[asyncio.Task[Any], asyncio.Event] = {}

    @property
    def connections(self) -> list[asyncio.Task[Any]]:
        """The tasks that each carry an open connection."""
        return list(self._flows)

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Pass nothing on, of any connection, old or new, for the length of a ``with`` block."""
        self._all_flow.clear()
        try:
            yield
        finally:
            self._all_flow.set()

    @contextlib.contextmanager
    def one_stalled(self, which: float) -> Iterator[None]:
        """Pass nothing on of one connection, if there is any; `which` of them, from 0 (oldest) to below 1."""
        flows = list(self._flows.values()) or [asyncio.Event()]
        flow = flows[int(which * len(flows))]
        flow.clear()
        try:
            yield
        finally:
            flow.set()

    def accept(self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; a task of the group carries it until either side ends it."""
        flow = asyncio.Event()
        flow.set()
        self._flows[group.create_task(self._pass_on(reader, writer, flow), name="relay")] = flow

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event) -> None:
        try:
            with contextlib.closing(writer), contextlib.suppress(OSError):  # the broker is down: closed at once
                answers, onwards = await asyncio.open_connection(HOST, self._target_port)
                with contextlib.closing(onwards):
                    await self._both_ways((reader, onwards), (answers, writer), flow=flow)
        finally:
            self._flows = {task: each for task, each in self._flows.items() if each is not flow}

    async def _both_ways(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter], flow: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._one_way(*way, flow), name="relay, one way") for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # a reset connection is an end like any other

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._all_flow.wait()
            await flow.wait()
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def relaying(port: int, target_port: int) -> AsyncIterator[Relay]:
    """Listen on a port of loopback and pass every connection on to another, for the length of the block."""
    relay = Relay(target_port)
    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(functools.partial(relay.accept, group), HOST, port)
        try:
            yield relay
        finally:
            server.close()
            for connection in relay.connections:
                connection.cancel()
