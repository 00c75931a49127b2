"""How often something may happen: a token bucket.

The bucket holds up to `burst` tokens and gains `per_s` of them a second. An event takes one token. With a burst of
1 the events are spread evenly; with a burst of `per_s` a second's worth of them may happen at once after a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class RateLimiter:
    """A token bucket. Owner: the object whose events it limits; it is not thread-safe.

    Parameters
    ----------
    per_s
        How many events may happen in a second in the long run, above 0.
    burst
        How many events may happen at once after a pause, at least 1.
    clock
        The current time in seconds; it must never go back.

    Raises
    ------
    ValueError
        If `per_s` or `burst` is too small: nothing could ever happen.
    """

    def __init__(self, per_s: float, burst: float = 1, clock: Callable[[], float] = time.monotonic) -> None:
        if per_s <= 0 or burst < 1:
            raise ValueError(f"a rate of {per_s} per second with bursts of {burst} allows no event")
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)  # below 0: what later events have reserved already
        self._filled_s = clock()

    def reserve(self, count: int = 1) -> float:
        """Take the next `count` tokens, even if the bucket does not hold them yet.

        Returns
        -------
        wait_s : float
            The seconds until the first of them is there; 0 if the event may happen at once. The reservations
            after this one wait for all `count` tokens.
        """
        self._fill()
        wait_s = max(0.0, (1 - self._tokens) / self._per_s)
        self._tokens -= count
        return wait_s

    async def acquire(self, count: int = 1) -> None:
        """Take the next `count` tokens and wait until the first of them is there.

        A cancelled wait does not give its tokens back.
        """
        wait_s = self.reserve(count)
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def try_acquire(self) -> bool:
        """Take a token if the bucket holds one; return whether it did. It never waits."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self) -> None:
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
