"""The memory budget: bounds the bytes in flight, and keeps one partition from taking all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple


class _Waiter(NamedTuple):
    held_bytes: Callable[[], int]
    size_bytes: int
    granted: asyncio.Future[None]


class MemoryBudget:
    """A number of bytes that all lanes share. Owner: the service; each lane's in-flight window acquires and releases.

    A lane holds half of the budget at most, so that a flood on one partition leaves room for the others. The lane that
    holds least is served first; among equals, the one that came first. No lane overtakes one that came before it, so
    that a large record does not wait forever. A chunk that is larger than half of the budget is admitted when its lane
    holds nothing; one that is larger than the whole budget, when no lane holds anything.

    Memory for what brokers will answer is promised before it is requested. A broker returns one batch even if it is
    larger than what was promised, since it could not be read otherwise.

    Output (answers that wait to be published) is counted apart, against the same number: where an archive has many
    entries, answers are larger than requests. Output is counted when it is there, since its size is not known before.
    While there is too much, `output_fits` is false, and workers begin no new batch.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiters: list[_Waiter] = []
        self._output_room = asyncio.Event()
        self._output_room.set()
        self._promised_bytes = 0
        self.acquired_bytes = 0
        self.fetched_bytes = 0
        """Fetched, and waiting to be acquired; the lanes' in-flight windows count it."""
        self.output_bytes = 0

    def has_room(self, held_bytes: int) -> bool:
        """Return whether a lane that holds this many bytes may fetch more.

        A batch that arrives may be larger than the room: its lane then waits, and no other one fetches meanwhile.
        """
        is_within_half = held_bytes < self._limit_bytes // 2
        return is_within_half and self.acquired_bytes + self.fetched_bytes < self._limit_bytes

    def promise(self, most_bytes: int, brokers: int) -> int:
        """Promise memory to an answer before it is requested; give it back with `withdraw`.

        Requests to several brokers are under way at once. Each is promised its share of what is free, so that their
        answers together fit, and that there is always something left for a broker that is asked later.

        Parameters
        ----------
        most_bytes
            More is not promised.
        brokers
            How many brokers may be asked at once.

        Returns
        -------
        int
            The most bytes that the answer may have; 0 if nothing may be requested now.
        """
        free_bytes = self._limit_bytes - self.acquired_bytes - self.fetched_bytes - self._promised_bytes
        promised_bytes = min(most_bytes, max(0, -(-free_bytes // brokers)))
        self._promised_bytes += promised_bytes
        return promised_bytes

    def withdraw(self, promised_bytes: int) -> None:
        """Take a promise back: what the answer had is counted as fetched now."""
        self._promised_bytes -= promised_bytes

    @property
    def output_fits(self) -> bool:
        """True while the answers that wait to be published are within the budget."""
        return self.output_bytes <= self._limit_bytes

    async def output_room(self) -> None:
        """Wait until `output_fits`."""
        await self._output_room.wait()

    def reserve_output(self, size_bytes: int) -> None:
        """Count answers that now wait to be published."""
        self.output_bytes += size_bytes
        self._signal_output()

    def release_output(self, size_bytes: int) -> None:
        """Stop counting answers: they are published or dropped."""
        self.output_bytes -= size_bytes
        self._signal_output()

    def _signal_output(self) -> None:
        if self.output_fits:
            self._output_room.set()
        else:
            self._output_room.clear()

    async def acquire(self, size_bytes: int, held_bytes: Callable[[], int] = int) -> None:
        """Wait until `size_bytes` fit, and take them.

        Parameters
        ----------
        size_bytes
            How many.
        held_bytes
            Returns what the lane holds already; a lane acquires one chunk after the other.
        """
        waiter = _Waiter(held_bytes, size_bytes, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                self._waiters.remove(waiter)
                self._grant()  # those who came later may fit
            else:
                self.release(size_bytes)  # granted and cancelled in the same pass of the event loop
            raise

    def release(self, size_bytes: int) -> None:
        """Return what was acquired."""
        self.acquired_bytes -= size_bytes
        self._grant()

    def _grant(self) -> None:
        while True:
            may = [
                waiter for waiter in self._waiters if not waiter.granted.cancelled() and self._is_within_half(waiter)
            ]
            if not may:
                return
            first = min(may, key=lambda waiter: waiter.held_bytes())  # the first in the list among equals
            if self.acquired_bytes and self.acquired_bytes + first.size_bytes > self._limit_bytes:
                return
            self.acquired_bytes += first.size_bytes
            self._waiters.remove(first)
            first.granted.set_result(None)

    def _is_within_half(self, waiter: _Waiter) -> bool:
        held_bytes = waiter.held_bytes()
        return held_bytes == 0 or held_bytes + waiter.size_bytes <= self._limit_bytes // 2
