"""Starts requests that send images, a few at a time, and refuses more while others wait too long to be started.

Starting a request costs some hundred times what refusing one costs. If all that have arrived were started at once, the
event loop would be busy with them, and neither refusals nor answers would leave the server meanwhile. So they wait
here, where nothing has been made of them but their headers, and the event loop sends and receives between a few of them
and the next. How long they wait says how busy the server is, whatever the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from producer.web.problems import Refusal

AT_ONCE: Final = 8
"""Requests that are started in one turn of the event loop: some milliseconds of work."""
LOG_INTERVAL_S: Final = 1.0
log = structlog.get_logger()


class Starting:
    """The requests that are not started yet. Owner: the event loop; all connections add theirs.

    Parameters
    ----------
    limit_s
        Requests are refused while the first one waits for longer.
    on_refused
        Is called for each refusal, with the method of the request; "other" if it is not known.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self, limit_s: float, on_refused: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_s = limit_s
        self._on_refused = on_refused
        self._clock = clock
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_running = False
        self._unlogged = 0

    @property
    def is_late(self) -> bool:
        """True if one more request would have to wait too long."""
        return bool(self._waiting) and self._clock() - self._waiting[0][0] > self._limit_s

    def add(self, start: Callable[[], None]) -> None:
        """Have a request started after those that came before it."""
        self._waiting.append((self._clock(), start))
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._start_some)

    def note_refused(self, method: str) -> None:
        """Count a refusal by the connection.

        The log has a line a second for all of them, because a line for each would cost more than the refusals.
        """
        self._on_refused(method)
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self._log)
        self._unlogged += 1

    def _start_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            _, start = self._waiting.popleft()
            start()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)
        else:
            self._is_running = False

    def _log(self) -> None:
        count, self._unlogged = self._unlogged, 0
        log.warning("requests refused", code=Refusal.BUSY.value, status=int(Refusal.BUSY.status), count=count)
