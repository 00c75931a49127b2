"""Readers of live results: each has a queue of its own, which loses its oldest answers when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from producer.web.gateway.interface import Answer, BusyError, Missed

RETRY_AFTER_S = 10


class _Queue:
    """The answers that wait for one reader. Owner: that reader."""

    def __init__(self, length: int) -> None:
        self.answers: deque[Answer] = deque(maxlen=length)
        self.missed = 0
        self.filled = asyncio.Event()


class LiveReaders:
    """All readers of live results. Owner: the gateway's event loop.

    Parameters
    ----------
    max_readers
        At once.
    queue
        Answers that wait for one reader.
    """

    def __init__(self, max_readers: int, queue: int) -> None:
        self._max_readers = max_readers
        self._length = queue
        self._queues: dict[str, set[_Queue]] = {}
        self.count = 0
        self.missed = 0

    def __contains__(self, tag: str) -> bool:
        return tag in self._queues

    def add(self, tag: str, answer: Answer) -> None:
        """Give an answer to all readers of a tenant."""
        for queue in self._queues.get(tag, ()):
            if len(queue.answers) == self._length:
                queue.missed += 1
                self.missed += 1
            queue.answers.append(answer)
            queue.filled.set()

    def read(self, tag: str) -> AsyncGenerator[Answer | Missed, None]:
        """Return an iterator over the answers to a tenant from now on; it ends when it is closed.

        Raises
        ------
        BusyError
            There are too many readers.
        """
        if self.count >= self._max_readers:
            raise BusyError("too many readers of live results", RETRY_AFTER_S)
        return self._read(tag)

    async def _read(self, tag: str) -> AsyncGenerator[Answer | Missed, None]:
        queue = _Queue(self._length)
        self._queues.setdefault(tag, set()).add(queue)
        self.count += 1
        try:
            while True:
                await queue.filled.wait()
                if queue.missed:
                    missed, queue.missed = queue.missed, 0
                    yield Missed(missed)
                while queue.answers and not queue.missed:
                    yield queue.answers.popleft()
                if not queue.answers:
                    queue.filled.clear()
        finally:
            self.count -= 1
            self._queues[tag].discard(queue)
            if not self._queues[tag]:
                del self._queues[tag]
