"""Sends requests with a key, each key once for all gateways: the request and its key are one transaction.

Each partition of the keys topic has a transactional id that all gateways share. Before a gateway writes keys there:

    1. it opens a producer with that id. This fences the producer of the gateway that wrote there before, and ends the
       transaction that it may have left open, also if that gateway was killed;
    2. it reads the partition to its end. No key can be added there any more, except by this producer, so the index
       has every key of the partition;
    3. it sends the requests whose keys are not in the index, each with its key, in one transaction.

A gateway that was fenced begins again at step 1, and finds in step 2 what others have sent meanwhile. If the outcome
of a commit is not known, step 1 decides it and step 2 shows it. Several gateways that write to one partition at once
fence each other again and again; each of them sends what waits in one transaction, and pauses for a random time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer

from producer.web.gateway.interface import Position
from producer.web.gateway.keys.index import KeyIndex, UsedKey, key_record
from producer.web.gateway.records import Location, Sendable
from producer.web.gateway.sender import write
from producer.web.gateway.tail import Tail
from transport.clients import open_producer, request_deadline
from transport.errors import KafkaRequestError, describe
from transport.settings.kafka import KafkaSettings

log = structlog.get_logger()

TRANSACTION_RECORDS: Final = 100
TRANSACTION_BYTES: Final = 8 * 1024 * 1024
"""A transaction takes no further request once its payloads have this many bytes."""
TRANSACTION_TIMEOUT_MS: Final = 10_000
"""The service reads nothing after an open transaction: one whose gateway was killed ends after this time, or when
another gateway writes to the same partition of the keys."""
STEP_TIMEOUT_S: Final = 8.0
MOST_PAUSE_S: Final = 0.1


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request that is to be sent once. Owner: the call that submits it, which may give it up."""

    request: Sendable
    done: asyncio.Future[tuple[UsedKey, bool]]


@dataclass(frozen=True, slots=True)
class KeyTopics:
    """Where requests and keys are written."""

    kafka: KafkaSettings
    requests: str
    keys: str
    max_request_bytes: int


@dataclass(eq=False)
class KeyPartition:
    """Writes the keys of one partition. Owner: the task that runs `run`; others call `send`."""

    topics: KeyTopics
    number: int
    index: KeyIndex
    tail: Tail
    failure: str | None = None
    """Why the last attempt failed; None if it did not."""
    committed: int = 0
    """Transactions since the start."""
    failed: int = 0
    """Attempts since the start that were not committed, or of which it is not known."""
    _waiting: list[_Waiting] = field(default_factory=list)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: Sendable) -> tuple[UsedKey, bool]:
        """Return where the request with this key is, and whether it was sent just now. The caller sets a deadline."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._filled.set()
        try:
            return await waiting.done
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiting)

    async def run(self) -> None:
        """Send what waits until it is cancelled; each round begins at step 1."""
        while True:
            await self._filled.wait()
            try:
                async with self._opened() as producer:
                    while True:
                        await self._filled.wait()
                        await self._send_next(producer)
            except (KafkaRequestError, AssertionError) as error:  # the client asserts that it was not fenced
                self.failure = str(error)
                self.failed += 1
                log.info("keys unwritten", partition=self.number, why=describe(error), action="beginning again")
            await asyncio.sleep(random.uniform(0, MOST_PAUSE_S))  # noqa: S311  # it only keeps gateways apart

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[AIOKafkaProducer]:
        async with open_producer(
            self.topics.kafka,
            max_request_bytes=self.topics.max_request_bytes,
            transactional_id=f"{self.topics.keys}.{self.number}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        ) as producer:
            await self.tail.reached(self.number)
            yield producer

    async def _send_next(self, producer: AIOKafkaProducer) -> None:
        """Answer what is in the index, and send the rest in one transaction."""
        self._answer(sent={})
        if not self._waiting:
            self._filled.clear()
            return
        batch: dict[str, Sendable] = {}
        size_bytes = 0
        for each in self._waiting:
            batch.setdefault(str(each.request.wire_id), each.request)
            size_bytes += len(each.request.payload)
            if len(batch) >= TRANSACTION_RECORDS or size_bytes >= TRANSACTION_BYTES:
                break
        await self._commit(producer, batch)
        self.failure = None
        self.committed += 1
        self._answer(sent=batch)

    async def _commit(self, producer: AIOKafkaProducer, batch: Mapping[str, Sendable]) -> None:
        """Send requests and their keys in one transaction, and add them to the index.

        Whatever fails, the producer is closed and the next one ends the transaction; so nothing is aborted here.
        """
        async with request_deadline("send requests with keys", STEP_TIMEOUT_S):
            await producer.begin_transaction()
            sent = await asyncio.gather(*(write(producer, self.topics.requests, each) for each in batch.values()))
            keys = {}
            for (key, request), metadata in zip(batch.items(), sent, strict=True):
                location = Location(Position(metadata.partition, metadata.offset), request.timestamp_ms)
                keys[key] = key_record(location, request.payload)
            futures = [
                await producer.send(self.topics.keys, value, key=key.encode(), partition=self.number)
                for key, value in keys.items()
            ]
            await asyncio.gather(*futures)
            await producer.commit_transaction()
        for key, value in keys.items():
            self.index.add(key.encode(), value)

    def _answer(self, sent: Mapping[str, Sendable]) -> None:
        """Answer the waiting requests whose keys are in the index."""
        left = []
        for each in self._waiting:
            used = self.index.get(each.request.wire_id)
            if used is None:
                left.append(each)
            elif not each.done.done():
                is_new = sent.get(str(each.request.wire_id)) is each.request
                each.done.set_result((used, is_new))
        self._waiting = left
