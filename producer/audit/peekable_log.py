"""A log whose next record can be seen before it is taken: so several logs are merged."""

from __future__ import annotations

import collections
from collections.abc import Callable

from aiokafka import ConsumerRecord

from transport.reading.log_reader import RangeReader
from transport.record_batch import Unreadable


class PeekableLog:
    """Reads a log. Owner: the auditing task.

    Parameters
    ----------
    reader
        Reads batches, up to an end.
    on_read
        Called with the number of records that were read.
    """

    def __init__(self, reader: RangeReader, on_read: Callable[[int], None]) -> None:
        self._reader = reader
        self._on_read = on_read
        self._records: collections.deque[ConsumerRecord | Unreadable] = collections.deque()

    async def peek(self) -> ConsumerRecord | Unreadable | None:
        """Return the next record without taking it; None at the end."""
        if not self._records:
            self._records.extend(await self._reader.next_batch())
            self._on_read(len(self._records))
        return self._records[0] if self._records else None

    def pop(self) -> None:
        """Remove the record that `peek` returned."""
        self._records.popleft()

    async def pop_batch(self) -> list[ConsumerRecord | Unreadable]:
        """Remove and return the next batch; empty at the end."""
        await self.peek()
        batch = list(self._records)
        self._records.clear()
        return batch
