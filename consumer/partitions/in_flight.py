"""What a lane has in hand: chunks that are fetched and not yet committed, in the order of their offsets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions.requests import Request
from consumer.workers.protocol import Answer

CHUNKS_IN_HAND: Final = 32
"""Per lane: enough for all workers to serve one busy partition while its transaction commits."""


class Classified(NamedTuple):
    """The answers to a chunk, and when they came."""

    answers: list[Answer]
    at_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records that a worker has been given, and its answers to come.

    Without records it only moves the committed offset past what is no record, see `passing`.
    """

    requests: list[Request]
    answers: asyncio.Future[Classified]
    size_bytes: int
    next_offset: int
    """What is committed with the answers: behind the last record, and behind markers that were fetched with it."""
    handed_s: float = field(default_factory=time.monotonic)

    @classmethod
    def passing(cls, next_offset: int) -> Chunk:
        """Make a chunk that is answered already: nothing up to an offset is a record."""
        answers: asyncio.Future[Classified] = asyncio.get_running_loop().create_future()
        answers.set_result(Classified([], time.monotonic()))
        return cls([], answers, 0, next_offset)

    @property
    def answers_bytes(self) -> int:
        """What the answers take, once they are there."""
        is_there = self.answers.done() and not self.answers.cancelled() and self.answers.exception() is None
        return sum(answer.size_bytes for answer in self.answers.result().answers) if is_there else 0


class InFlightWindow:
    """The chunks of one lane. Owners: its fetching task adds at the end, its publishing task takes from the front.

    Bytes are taken from the budget that all lanes share, and given back when a chunk is committed or dropped.
    """

    def __init__(self, budget: MemoryBudget, metrics: Metrics) -> None:
        self._budget = budget
        self._metrics = metrics
        self._chunks: deque[Chunk] = deque()
        self._room = asyncio.Semaphore(CHUNKS_IN_HAND)
        self._changed = asyncio.Event()
        self._complete = False
        self.records = 0
        self.size_bytes = 0

    @property
    def oldest_at_ms(self) -> int | None:
        """When the first record in hand was produced, as its timestamp says; None if there is none."""
        return next((chunk.requests[0].task.timestamp_ms for chunk in self._chunks if chunk.requests), None)

    @property
    def is_empty(self) -> bool:
        """True if no chunk is held: all that was added is committed or dropped."""
        return not self._chunks

    async def make_room(self, size_bytes: int) -> None:
        """Wait until another chunk of this size may be held. Add it before anything else is awaited."""
        await self._room.acquire()
        await self._budget.take(size_bytes, lambda: self.size_bytes)

    def add(self, chunk: Chunk) -> None:
        """Hold a chunk for which room was made."""
        self._chunks.append(chunk)
        self.records += len(chunk.requests)
        self.size_bytes += chunk.size_bytes
        self._metrics.records_in_flight.inc(len(chunk.requests))
        self._metrics.in_flight_bytes.inc(chunk.size_bytes)
        self._changed.set()

    def complete(self) -> None:
        """No chunk will be added any more."""
        self._complete = True
        self._changed.set()

    async def first(self) -> Chunk | None:
        """Wait for the chunk in front; None when all are gone and none will come."""
        while not self._chunks and not self._complete:
            self._changed.clear()
            await self._changed.wait()
        return self._chunks[0] if self._chunks else None

    def answered(self, most_bytes: int) -> list[Chunk]:
        """The chunks from the front on whose answers are there: at least one, if it is, and as many as fit."""
        chunks: list[Chunk] = []
        size_bytes = 0
        for chunk in self._chunks:
            size_bytes += chunk.size_bytes + chunk.answers_bytes
            if not chunk.answers.done() or (chunks and size_bytes > most_bytes):
                break
            chunks.append(chunk)
        return chunks

    def release(self, count: int) -> None:
        """Let go of the first `count` chunks: they are committed."""
        for _ in range(count):
            self._let_go(self._chunks.popleft())

    def drop(self) -> None:
        """Let go of all chunks: they are not committed, and their next owner repeats them."""
        while self._chunks:
            chunk = self._chunks.popleft()
            self._let_go(chunk)
            chunk.answers.cancel()

    def _let_go(self, chunk: Chunk) -> None:
        self._room.release()
        self.records -= len(chunk.requests)
        self.size_bytes -= chunk.size_bytes
        self._metrics.records_in_flight.dec(len(chunk.requests))
        self._metrics.in_flight_bytes.dec(chunk.size_bytes)
        self._budget.give_back(chunk.size_bytes)
        self._budget.published(chunk.answers_bytes)
