"""A relay in front of a broker that knows where a request begins and ends: it holds requests, or loses answers.

A held request can be passed on on its own connection, or be delivered late: on another connection, after its client has
given it up, as a network does that keeps a packet for longer than a client waits, or than its connection lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from enum import IntEnum
from typing import Final

from broker.probe import HOST
from tests.harness.relay import accepting

_SIZE: Final = struct.Struct(">i")
_KEY: Final = struct.Struct(">h")


class Kind(IntEnum):
    """Requests of a transaction, by their number in the protocol."""

    PRODUCE = 0
    ADD_PARTITIONS = 24
    ADD_OFFSETS = 25
    END = 26
    OFFSETS = 28


class Held:
    """A request that has not reached the broker."""

    def __init__(self, frame: bytes, port: int) -> None:
        self._frame = frame
        self._port = port
        self._decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pass_on(self) -> None:
        """Send it to the broker on the connection that it came on."""
        self._decided.set_result(None)

    def cut_off(self) -> None:
        """End the connection that it came on: its client learns that it is lost."""
        self._decided.set_exception(ConnectionResetError())

    async def decided(self) -> None:
        """Return when it is to be passed on. Raises `ConnectionResetError` if it is cut off."""
        await self._decided

    async def deliver_late(self) -> bytes:
        """Send it to the broker on another connection, and return the answer after its correlation id."""
        reader, writer = await asyncio.open_connection(HOST, self._port)
        with contextlib.closing(writer):
            writer.write(self._frame)
            return (await _read_frame(reader))[2 * _SIZE.size :]


class RequestRelay:
    """One listening port, and every connection through it. Made by `relaying_requests`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._held: dict[Kind | None, asyncio.Queue[Held]] = {}
        self._lost: dict[Kind | None, asyncio.Event] = {}
        self.connections: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def holding(self, kind: Kind) -> Iterator[asyncio.Queue[Held]]:
        """Hold requests of a kind for the length of a ``with`` block; they arrive in the queue that it gives."""
        self._held[kind] = queue = asyncio.Queue[Held]()
        try:
            yield queue
        finally:
            del self._held[kind]

    @contextlib.contextmanager
    def losing_answers(self, kind: Kind) -> Iterator[asyncio.Event]:
        """Lose the answers to requests of a kind, and all that come after them, for the length of a ``with`` block.

        The event is set when the broker has given such an answer.
        """
        self._lost[kind] = lost = asyncio.Event()
        try:
            yield lost
        finally:
            del self._lost[kind]

    def accept(self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; a task of the group carries it until either side ends it, or it holds a request."""
        carrying = group.create_task(self._carry(reader, writer), name="request relay")
        self.connections.add(carrying)
        carrying.add_done_callback(self.connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            answers, onwards = await asyncio.open_connection(HOST, self._target_port)
            with contextlib.closing(onwards):
                while True:
                    frame = await _read_frame(reader)
                    await self._pass_on(frame, onwards)
                    answer = await _read_frame(answers)  # a broker answers the requests of a connection in order
                    await self._answer(frame, answer, writer)

    async def _pass_on(self, frame: bytes, onwards: asyncio.StreamWriter) -> None:
        queue = self._held.get(_kind_of(frame))
        if queue is not None:
            held = Held(frame, self._target_port)
            queue.put_nowait(held)
            await held.decided()
        onwards.write(frame)
        await onwards.drain()

    async def _answer(self, frame: bytes, answer: bytes, writer: asyncio.StreamWriter) -> None:
        lost = self._lost.get(_kind_of(frame))
        if lost is not None:
            lost.set()
            await asyncio.Event().wait()
        writer.write(answer)
        await writer.drain()


@contextlib.asynccontextmanager
async def relaying_requests(port: int, target_port: int) -> AsyncIterator[RequestRelay]:
    """Listen on a port of loopback and pass every connection on to another, for the length of the block."""
    relay = RequestRelay(target_port)
    async with accepting(port, relay):
        yield relay


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(_SIZE.size)
    return size + await reader.readexactly(*_SIZE.unpack(size))


def _kind_of(frame: bytes) -> Kind | None:
    (key,) = _KEY.unpack_from(frame, _SIZE.size)
    return Kind(key) if key in list(Kind) else None
