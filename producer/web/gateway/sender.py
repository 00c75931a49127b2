"""Sends requests without a key by an idempotent producer; if it fails, another one is opened.

The bytes that the brokers have not acknowledged are counted, and refused beyond a limit: they are the part of the
gateway's memory that grows when brokers are slow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer

from producer.web.gateway.interface import BusyError, Position, UnavailableError
from producer.web.gateway.records import Location, Sendable
from transport.clients import open_producer, request_deadline
from transport.errors import KafkaRequestError, describe
from transport.settings.kafka import KafkaSettings

log = structlog.get_logger()

SEND_TIMEOUT_S: Final = 20.0
"""The time limit for the acknowledgement of a request."""
REOPEN_PAUSE_S: Final = 0.5
RETRY_AFTER_S: Final = 1


class Buffer:
    """Counts the payloads that are not acknowledged. Owner: the gateway's event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def check(self, size_bytes: int) -> None:
        """Refuse bytes for which there is no room; a larger payload is taken alone.

        Raises
        ------
        BusyError
            The brokers are slower than the senders.
        """
        if self.size_bytes and self.size_bytes + size_bytes > self._max_bytes:
            raise BusyError("the brokers take requests more slowly than they arrive", RETRY_AFTER_S)

    @contextlib.contextmanager
    def holding(self, size_bytes: int) -> Iterator[None]:
        """Count bytes while the body runs. Raises as `check`."""
        self.check(size_bytes)
        self.size_bytes += size_bytes
        try:
            yield
        finally:
            self.size_bytes -= size_bytes


class Sender:
    """Sends requests. Owner: the task that runs `run`; others call `send`.

    Parameters
    ----------
    kafka, topic
        The brokers and the requests topic.
    max_request_bytes
        The largest record of that topic.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, max_request_bytes: int) -> None:
        self._kafka = kafka
        self._topic = topic
        self._max_request_bytes = max_request_bytes
        self._producer: AIOKafkaProducer | None = None
        self._opened = asyncio.Event()
        self._failed = asyncio.Event()
        self.failure: str | None = "it is not connected yet"
        """Why nothing can be sent at the moment; None if it can."""

    async def run(self) -> None:
        """Keep a producer open until it is cancelled."""
        while True:
            try:
                # A client waits for each of them. Those that come in one turn of the event loop still are one batch.
                opened = open_producer(self._kafka, max_request_bytes=self._max_request_bytes, linger_ms=0)
                async with opened as producer:
                    self._producer, self.failure = producer, None
                    self._failed.clear()
                    self._opened.set()
                    await self._failed.wait()
                    self._opened.clear()
            except KafkaRequestError as error:
                self.failure = str(error)
            await asyncio.sleep(REOPEN_PAUSE_S)

    async def send(self, request: Sendable) -> Location:
        """Send a request, and return where it is once the brokers have acknowledged it.

        Raises
        ------
        UnavailableError
            It may be written all the same.
        """
        producer = None
        try:
            async with request_deadline("send a request", SEND_TIMEOUT_S):
                await self._opened.wait()
                producer = self._producer
                metadata = await write(producer, self._topic, request)
        except KafkaRequestError as error:
            if producer is not None and producer is self._producer and not self._failed.is_set():
                # After a failed batch the sequence numbers of an idempotent producer have a gap.
                log.warning("request unsent", why=describe(error), action="opening another producer")
                self.failure = str(error)
                self._failed.set()
            raise UnavailableError("the request was not acknowledged in time", describe(error)) from error
        return Location(Position(metadata.partition, metadata.offset), request.timestamp_ms)


async def write(producer: AIOKafkaProducer | None, topic: str, request: Sendable) -> Any:
    """Send a request by a producer, and return partition and offset. The caller sets a deadline."""
    assert producer is not None  # noqa: S101  # for the type: it is set before `_opened`
    sent = await producer.send(
        topic,
        request.payload,
        partition=request.partition,
        headers=request.headers,
        timestamp_ms=request.timestamp_ms,
    )
    return await sent
