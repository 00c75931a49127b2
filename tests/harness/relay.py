"""A relay in front of a broker: passes connections on, and can leave them hanging as a bad network does.

A stalled connection stays open and silent on both sides; what was sent meanwhile arrives when it goes on. An answer is
lost if its connection is closed after the broker has answered. A relay with a rate is a slow line: all its connections
share the rate, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any, Final, Protocol

from broker.probe import HOST

CHUNK_BYTES: Final = 64 * 1024
SLOW_CHUNK_BYTES: Final = 16 * 1024
"""On a slow line, so that a connection with much to carry leaves room to the others."""
API_KEY: Final = slice(4, 6)
"""Where a request says what it is, after its length."""


class Line:
    """How many bytes a second a relay carries; without a rate, as many as come.

    Parameters
    ----------
    bytes_per_s
        The rate, or None.
    """

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0
        self.chunk_bytes = CHUNK_BYTES if bytes_per_s is None else SLOW_CHUNK_BYTES
        self.carried_bytes = 0

    async def carry(self, size_bytes: int) -> None:
        """Return when the line has carried these bytes, after all that came before them."""
        self.carried_bytes += size_bytes
        if self._bytes_per_s is not None:
            now_s = asyncio.get_running_loop().time()
            self._free_at_s = max(self._free_at_s, now_s) + size_bytes / self._bytes_per_s
            await asyncio.sleep(self._free_at_s - now_s)


class Relay:
    """One listening port, and every connection through it. Made by `relaying`."""

    def __init__(self, target_port: int, line: Line) -> None:
        self._target_port = target_port
        self.line = line
        self._all_flow = asyncio.Event()
        self._all_flow.set()
        self._flows: dict[asyncio.Task[Any], asyncio.Event] = {}
        self._lost_key: int | None = None
        self._lost: list[int] = []

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

    @contextlib.contextmanager
    def answers_lost(self, api_key: int) -> Iterator[list[int]]:
        """Lose the answer to one request with a key: the first that begins what a client sends; list it then."""
        self._lost_key, self._lost = api_key, []
        try:
            yield self._lost
        finally:
            self._lost_key = None

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
        losing = asyncio.Event()
        onwards, back = ways
        tasks = [
            asyncio.create_task(self._one_way(*onwards, flow, self._watching(losing)), name="relay, to the broker"),
            asyncio.create_task(self._one_way(*back, flow, lambda _: losing.is_set()), name="relay, from the broker"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # a reset connection is an end like any other

    def _watching(self, losing: asyncio.Event) -> Callable[[bytes], bool]:
        def watch(data: bytes) -> bool:
            if self._lost_key is not None and int.from_bytes(data[API_KEY]) == self._lost_key:
                self._lost.append(self._lost_key)
                self._lost_key = None
                losing.set()
            return False

        return watch

    async def _one_way(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flow: asyncio.Event,
        loses: Callable[[bytes], bool],
    ) -> None:
        while data := await reader.read(self.line.chunk_bytes):
            if loses(data):
                return
            await self.line.carry(len(data))
            await self._all_flow.wait()
            await flow.wait()
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def relaying(port: int, target_port: int, *, bytes_per_s: float | None = None) -> AsyncIterator[Relay]:
    """Listen on a port of loopback and pass every connection on to another, for the length of the block.

    Parameters
    ----------
    port, target_port
        Where clients connect, and where they would without the relay.
    bytes_per_s
        What all connections together carry, in both directions; None: as much as the machine can.
    """
    relay = Relay(target_port, Line(bytes_per_s))
    async with accepting(port, relay) as server:
        if bytes_per_s is not None:
            for listening in server.sockets:  # otherwise the kernel takes megabytes at once, and the line seems fast
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK_BYTES)
        yield relay


class Acceptor(Protocol):
    """Carries connections, each in a task."""

    @property
    def connections(self) -> Collection[asyncio.Task[None]]:
        """The tasks that each carry an open connection."""

    def accept(self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; a task of the group carries it."""


@contextlib.asynccontextmanager
async def accepting(port: int, relay: Acceptor) -> AsyncIterator[asyncio.Server]:
    """Listen on a port of loopback, and give every connection to a relay, for the length of the block."""
    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(functools.partial(relay.accept, group), HOST, port)
        try:
            yield server
        finally:
            server.close()
            for connection in list(relay.connections):
                connection.cancel()
