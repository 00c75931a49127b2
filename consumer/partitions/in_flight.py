"""The in-flight window of a lane: chunks that are fetched and not yet committed, in the order of their offsets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumer.memory_budget import MemoryBudget
from consumer.partitions.requests import Request
from consumer.workers.protocol import Answer

MAX_CHUNKS: Final = 32
"""In the window of one lane: enough for all workers to serve one busy partition while its transaction commits."""


class Classified(NamedTuple):
    """The answers to a chunk, and when they came."""

    answers: list[Answer]
    at_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records that were submitted to the workers together, and their answers to come.

    A chunk without records only moves the committed offset, see `without_records`.
    """

    requests: list[Request]
    answers: asyncio.Future[Classified]
    size_bytes: int
    next_offset: int
    """What is committed with the answers: the offset after the last record and after markers fetched with it."""
    submitted_s: float = field(default_factory=time.monotonic)

    @classmethod
    def without_records(cls, next_offset: int) -> Chunk:
        """Make a chunk that is answered already: up to its offset the log has only markers and aborted records."""
        answers: asyncio.Future[Classified] = asyncio.get_running_loop().create_future()
        answers.set_result(Classified([], time.monotonic()))
        return cls([], answers, 0, next_offset)

    @property
    def is_answered(self) -> bool:
        """True once all answers are there."""
        return self.answers.done() and not self.answers.cancelled() and self.answers.exception() is None

    @property
    def output_bytes(self) -> int:
        """Bytes of the answers; 0 until they are there."""
        return output_bytes(self.answers.result().answers) if self.is_answered else 0


def output_bytes(answers: Sequence[Answer]) -> int:
    """Return how many bytes answers take in the service's memory until they are published."""
    return sum(answer.size_bytes for answer in answers)


class InFlightWindow:
    """The chunks of one lane, and their bytes. Owners: the fetching task adds, the publishing task removes from front.

    The window keeps both accounts of the memory budget that all lanes share: it acquires a chunk's bytes before the
    chunk is added, counts the bytes of its answers when they come, and releases both when the chunk is committed or
    dropped.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._chunks: deque[Chunk] = deque()
        self._room = asyncio.Semaphore(MAX_CHUNKS)
        self._changed = asyncio.Event()
        self._closed = False
        self._fetched_bytes = 0
        self.records = 0
        self.size_bytes = 0

    @property
    def oldest_at_ms(self) -> int | None:
        """Timestamp of the oldest record in flight, in ms since 1970; None if there is none."""
        return next((chunk.requests[0].task.timestamp_ms for chunk in self._chunks if chunk.requests), None)

    @property
    def is_empty(self) -> bool:
        """True if all chunks that were added are committed or dropped."""
        return not self._chunks

    def has_room(self) -> bool:
        """Return whether anything may be fetched for the lane."""
        return self._budget.has_room(self.size_bytes + self._fetched_bytes)

    def note_fetched(self, size_bytes: int) -> None:
        """Count what has been fetched and is to be acquired."""
        self._fetched_bytes += size_bytes
        self._budget.fetched_bytes += size_bytes

    async def acquire(self, size_bytes: int) -> None:
        """Wait until a chunk of this size may be added. Add it before anything else is awaited."""
        await self._room.acquire()
        await self._budget.acquire(size_bytes, lambda: self.size_bytes)
        self.note_fetched(-size_bytes)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk whose bytes were acquired."""
        self._chunks.append(chunk)
        self.records += len(chunk.requests)
        self.size_bytes += chunk.size_bytes
        self._changed.set()

    def reserve_output(self, answers: Sequence[Answer]) -> None:
        """Count the answers to one chunk; the task whose result they are calls this, and awaits nothing afterwards."""
        self._budget.reserve_output(output_bytes(answers))

    def close(self) -> None:
        """Note that no chunk will be added any more."""
        self._closed = True
        self._changed.set()

    async def first(self) -> Chunk | None:
        """Wait for the chunk in front; None if the window is closed and empty."""
        while not self._chunks and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        return self._chunks[0] if self._chunks else None

    def answered(self, limit_bytes: int) -> list[Chunk]:
        """Return the answered chunks in front: at least one if there is one, and as many as fit."""
        chunks: list[Chunk] = []
        size_bytes = 0
        for chunk in self._chunks:
            size_bytes += chunk.size_bytes + chunk.output_bytes
            if not chunk.answers.done() or (chunks and size_bytes > limit_bytes):
                break
            chunks.append(chunk)
        return chunks

    def release(self, count: int) -> None:
        """Remove the first `count` chunks: they are committed."""
        for _ in range(count):
            self._release(self._chunks.popleft())

    def drop(self) -> None:
        """Remove all chunks: they are not committed, and the next owner of the partition repeats them."""
        self.note_fetched(-self._fetched_bytes)
        while self._chunks:
            chunk = self._chunks.popleft()
            self._release(chunk)
            chunk.answers.cancel()

    def _release(self, chunk: Chunk) -> None:
        self._room.release()
        self.records -= len(chunk.requests)
        self.size_bytes -= chunk.size_bytes
        self._budget.release(chunk.size_bytes)
        self._budget.release_output(chunk.output_bytes)
