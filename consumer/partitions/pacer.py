"""When a transaction may begin.

A transaction costs about the same whatever its size, so there is a ceiling for the whole instance:
beginnings are spread evenly once lanes ask for more. When all is quiet the first is free at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pacer:
    """The next free beginning. Owner: the service; lanes await their `turn`."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = 1 / per_s
        self._clock = clock
        self._next_s = 0.0

    def reserve(self) -> float:
        """Take the next beginning; return how many seconds away it is."""
        now_s = self._clock()
        self._next_s = max(self._next_s, now_s)
        wait_s = self._next_s - now_s
        self._next_s += self._interval_s
        return wait_s

    async def turn(self) -> None:
        """Wait for the next beginning."""
        wait_s = self.reserve()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
