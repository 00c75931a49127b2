"""Bytes in hand: what bounds the memory of the service, and keeps one partition from taking it all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple


class _Waiter(NamedTuple):
    held_bytes: Callable[[], int]
    size_bytes: int
    turn: asyncio.Future[None]


class MemoryBudget:
    """A number of bytes that all lanes share. Owner: the service; lanes take and give back.

    A lane holds half of it at most, so that a flood on one partition leaves room for the others. Who holds least
    is served first, and among equals who came first; nobody is overtaken by those behind, so that a large record
    does not wait for ever. One that is larger than what a lane may hold is admitted when its lane holds nothing,
    one that is larger than the whole budget when nothing else is in hand.

    Answers are counted apart, against the same number: they are larger than requests where an archive has many
    entries. They are there when they are known of; while they are too many, `answers_fit` is false, and workers
    begin nothing new.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiters: list[_Waiter] = []
        self.taken_bytes = 0
        self.answers_bytes = 0
        self.when_answers_fit: Callable[[], None] = lambda: None
        """Called when answers fit again. Set by the workers."""

    @property
    def answers_fit(self) -> bool:
        """True while the answers that wait to be published are not too many."""
        return self.answers_bytes <= self._limit_bytes

    def answered(self, size_bytes: int) -> None:
        """Count answers that wait to be published."""
        self.answers_bytes += size_bytes

    def published(self, size_bytes: int) -> None:
        """Forget answers that are published, or dropped."""
        did_fit = self.answers_fit
        self.answers_bytes -= size_bytes
        if self.answers_fit and not did_fit:
            self.when_answers_fit()

    async def take(self, size_bytes: int, held_bytes: Callable[[], int] = int) -> None:
        """Wait until `size_bytes` fit, and take them.

        Parameters
        ----------
        size_bytes
            How many.
        held_bytes
            Tells what the lane holds already; a lane takes one after the other.
        """
        waiter = _Waiter(held_bytes, size_bytes, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                self._waiters.remove(waiter)
                self._grant()  # whoever stands behind may pass
            else:
                self.give_back(size_bytes)  # granted and cancelled in the same turn of the loop
            raise

    def give_back(self, size_bytes: int) -> None:
        """Return what was taken."""
        self.taken_bytes -= size_bytes
        self._grant()

    def _grant(self) -> None:
        while True:
            may = [waiter for waiter in self._waiters if not waiter.turn.cancelled() and self._is_within_half(waiter)]
            if not may:
                return
            first = min(may, key=lambda waiter: waiter.held_bytes())  # the first in the list among equals
            if self.taken_bytes and self.taken_bytes + first.size_bytes > self._limit_bytes:
                return
            self.taken_bytes += first.size_bytes
            self._waiters.remove(first)
            first.turn.set_result(None)

    def _is_within_half(self, waiter: _Waiter) -> bool:
        held_bytes = waiter.held_bytes()
        return held_bytes == 0 or held_bytes + waiter.size_bytes <= self._limit_bytes // 2
