"""Starts requests that send images, a few at a time, and refuses more while many are under way.

Accepted requests share the machine, so each of them takes about as long as all that are under way. What exceeds a
number is refused by its headers, which costs a tenth of an answer: so those that are accepted are answered as without
the excess.

Starting a request costs many times what refusing one costs. So the event loop sends and receives between a few of
them and the next; otherwise neither refusals nor answers would leave the server meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application

from producer.web.problems import Refusal

PER_TURN: Final = 32
"""Requests that are started in one turn of the event loop: about ten milliseconds of work.

With fewer, those that are accepted would wait long in an overload, because each turn then has hundreds of refusals.
"""
LOG_INTERVAL_S: Final = 1.0
log = structlog.get_logger()


class Starting:
    """The requests that are not started yet, and the number of all. Owner: the event loop; all connections add theirs.

    Parameters
    ----------
    at_once
        Requests are refused while as many are under way.
    on_refused
        Is called for each refusal, with the method of the request; "other" if it is not known.
    """

    def __init__(self, at_once: int, on_refused: Callable[[str], None]) -> None:
        self._at_once = at_once
        self._on_refused = on_refused
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_running = False
        self._arrived = 0
        self._unlogged = 0

    @property
    def under_way(self) -> int:
        """Requests that are not started, or whose body has arrived. A slow body takes no place from others."""
        return len(self._waiting) + self._arrived

    @property
    def is_full(self) -> bool:
        """True if one more request is to be refused."""
        return self.under_way >= self._at_once

    def add(self, start: Callable[[], None]) -> None:
        """Have a request started after those that came before it."""
        self._waiting.append(start)
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._start_some)

    async def run(self, app: ASGI3Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for a request, and count it from the end of its body to the end of its answer."""
        has_arrived = False

        async def receive_and_note() -> Message:
            nonlocal has_arrived
            message = await receive()
            if not has_arrived and message["type"] == "http.request" and not message["more_body"]:
                has_arrived = True
                self._arrived += 1
            return message

        try:
            await app(scope, receive_and_note, send)  # type: ignore[arg-type]  # uvicorn has types of its own
        finally:
            if has_arrived:
                self._arrived -= 1

    def note_refused(self, method: str) -> None:
        """Count a refusal by the connection.

        The log has a line a second for all of them, because a line for each would cost more than the refusals.
        """
        self._on_refused(method)
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self._log)
        self._unlogged += 1

    def _start_some(self) -> None:
        for _ in range(min(PER_TURN, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)
        else:
            self._is_running = False

    def _log(self) -> None:
        count, self._unlogged = self._unlogged, 0
        log.warning("requests refused", code=Refusal.BUSY.value, status=int(Refusal.BUSY.status), count=count)
