"""Bytes in hand: what bounds the memory of the service."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """A number of bytes that all lanes share. Owner: the service; lanes take and give back.

    Waiters are served in their order, so that a large record is not overtaken for ever. One that is
    larger than the whole budget is admitted when nothing else is in hand.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.taken_bytes = 0

    async def take(self, size_bytes: int) -> None:
        """Wait until `size_bytes` fit, and take them."""
        if not self._waiters and self._fits(size_bytes):
            self.taken_bytes += size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._grant()  # whoever stands behind may pass
            else:
                self.give_back(size_bytes)  # granted and cancelled in the same turn of the loop
            raise

    def give_back(self, size_bytes: int) -> None:
        """Return what was taken."""
        self.taken_bytes -= size_bytes
        self._grant()

    def _fits(self, size_bytes: int) -> bool:
        return self.taken_bytes == 0 or self.taken_bytes + size_bytes <= self._limit_bytes

    def _grant(self) -> None:
        while self._waiters:
            size_bytes, turn = self._waiters[0]
            if not turn.cancelled():
                if not self._fits(size_bytes):
                    return
                self.taken_bytes += size_bytes
                turn.set_result(None)
            self._waiters.popleft()
