"""The in-flight window of a lane: chunks that are fetched and not yet committed, in the order of their offsets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from consumer.memory_budget import MemoryBudget
from consumer.partitions.chunks import Cut
from consumer.workers.tasks import Part, Task

MAX_CHUNKS: Final = 32
"""In the window of one lane: enough for all workers to serve one busy partition while its transaction commits."""
PARTS_BYTES: Final = 8 * 1024 * 1024
"""Of one chunk, about the most bytes of parts that wait to be published, before more of it is classified."""


class ReadyPart(NamedTuple):
    """A part that may be published, and when its records were fetched, given to the workers, and classified."""

    part: Part
    fetched_s: float
    submitted_s: float
    classified_s: float

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in the service's memory."""
        return self.part.size_bytes


@dataclass(slots=True, eq=False)
class Chunk:
    """A task that was given to the workers, and its parts that are not committed yet. Owner: its window.

    A chunk without records only moves the committed offset, see `without_records`.
    """

    task: Task
    records: int
    """In the parts that are not committed yet, and those to come."""
    size_bytes: int
    oldest_at_ms: int | None
    fetched_s: float
    submitted_s: float = field(default_factory=time.monotonic)
    parts: deque[ReadyPart] = field(default_factory=deque)
    is_answered: bool = False
    """True if no part will come any more."""
    classifying: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, cut: Cut) -> Chunk:
        """Make a chunk that is given to the workers now."""
        return cls(cut.task, cut.records, cut.size_bytes, cut.oldest_at_ms, cut.fetched_s)

    @classmethod
    def without_records(cls, partition: TopicPartition, next_offset: int) -> Chunk:
        """Make a chunk that is answered already: up to its offset the log has only markers and aborted records."""
        now_s = time.monotonic()
        task = Task(partition.topic, partition.partition, [], next_offset - 1, next_offset, 0, 0)
        ready = ReadyPart(Part(next_offset, []), now_s, now_s, now_s)
        return cls(task, 0, 0, None, now_s, parts=deque([ready]), is_answered=True)

    @property
    def output_bytes(self) -> int:
        """Bytes of the parts that wait to be published."""
        return sum(ready.size_bytes for ready in self.parts)


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
        self._published = asyncio.Event()
        self._closed = False
        self._fetched_bytes = 0
        self.records = 0
        self.size_bytes = 0

    @property
    def oldest_at_ms(self) -> int | None:
        """Timestamp of the oldest record in flight, in ms since 1970; None if there is none."""
        return next((chunk.oldest_at_ms for chunk in self._chunks if chunk.oldest_at_ms is not None), None)

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
        self.records += chunk.records
        self.size_bytes += chunk.size_bytes
        self._changed.set()

    def deliver(self, chunk: Chunk, part: Part) -> ReadyPart:
        """Add a part of a chunk in the window, in order."""
        ready = ReadyPart(part, chunk.fetched_s, chunk.submitted_s, time.monotonic())
        chunk.parts.append(ready)
        chunk.is_answered = part.next_offset == chunk.task.next_offset
        self._budget.reserve_output(ready.size_bytes)
        self._changed.set()
        return ready

    async def room_in(self, chunk: Chunk) -> None:
        """Wait until enough of a chunk is published, so that more of it may be classified.

        A batch of a few megabytes may have a million records, whose results must not be in memory all at once.
        """
        while chunk.output_bytes > PARTS_BYTES:
            self._published.clear()
            await self._published.wait()

    def close(self) -> None:
        """Note that no chunk will be added any more."""
        self._closed = True
        self._changed.set()

    async def first(self) -> ReadyPart | None:
        """Wait for the part in front; None if the window is closed and empty."""
        while not (self._chunks[0].parts if self._chunks else self._closed):
            self._changed.clear()
            await self._changed.wait()
        return self._chunks[0].parts[0] if self._chunks else None

    def ready(self, limit_bytes: int) -> list[ReadyPart]:
        """Return the parts in front: at least one if there is one, and as many as fit."""
        found: list[ReadyPart] = []
        size_bytes = 0
        for chunk in self._chunks:
            for ready in chunk.parts:
                size_bytes += ready.size_bytes
                if found and size_bytes > limit_bytes:
                    return found
                found.append(ready)
            if not chunk.is_answered:
                break
        return found

    def release(self, count: int) -> None:
        """Remove the first `count` parts: they are committed."""
        for _ in range(count):
            chunk = self._chunks[0]
            ready = chunk.parts.popleft()
            self._budget.release_output(ready.size_bytes)
            records = min(ready.part.records, chunk.records)
            chunk.records -= records
            self.records -= records
            if chunk.is_answered and not chunk.parts:
                self._release(self._chunks.popleft())
        self._published.set()

    def drop(self) -> None:
        """Remove all chunks: they are not committed, and the next owner of the partition repeats them."""
        self.note_fetched(-self._fetched_bytes)
        while self._chunks:
            chunk = self._chunks.popleft()
            self._release(chunk)
            if chunk.classifying is not None:
                chunk.classifying.cancel()

    def _release(self, chunk: Chunk) -> None:
        self._room.release()
        self.records -= chunk.records
        self.size_bytes -= chunk.size_bytes
        self._budget.release(chunk.size_bytes)
        self._budget.release_output(chunk.output_bytes)
        chunk.parts.clear()
