"""The progress note: which item a worker is reading, for the case that it dies or hangs there."""

from __future__ import annotations

import struct
from typing import Final


class ProgressNote:
    """The item that a worker is reading, in memory that worker and service share.

    The worker writes it. The service reads it when the worker dies or makes no progress, so that it knows the item that
    caused this. If the service reads during a write, the worst case is one unnecessary retry.
    """

    SIZE_BYTES: Final = 4096
    _layout: Final = struct.Struct("=QIqI")
    _NOTHING: Final = 0xFFFF_FFFF
    _MANY_ITEMS: Final = 0xFFFF_FFFE

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._progress = 0

    def write(self, task: int, offset: int, item: int) -> None:
        """Worker: note that it will now read item `item` of the record at `offset` of task `task`."""
        self._progress += 1
        self._layout.pack_into(self._memory, 0, self._progress, task, offset, item)

    def write_many_items(self) -> None:
        """Worker: note that it will now read many items of the batch at once."""
        self.write(self._MANY_ITEMS, 0, 0)

    def clear(self) -> None:
        """Service: note, before it sends a batch, that no item of it was read."""
        self._layout.pack_into(self._memory, 0, 0, self._NOTHING, 0, 0)

    def progress(self) -> int:
        """Service: return a number that changes with every note."""
        return int(self._layout.unpack_from(self._memory, 0)[0])

    def position(self) -> tuple[int, int, int] | None:
        """Service: return task, offset and item of the last note; None if no item, or many at once, were read."""
        _, task, offset, item = self._layout.unpack_from(self._memory, 0)
        return None if task in (self._NOTHING, self._MANY_ITEMS) else (task, offset, item)

    def is_on_many_items(self) -> bool:
        """Service: return whether many items of the batch were read at once."""
        return bool(self._layout.unpack_from(self._memory, 0)[1] == self._MANY_ITEMS)
