"""Starts requests that send images, a few at a time, and refuses more while many are under way.

Accepted requests share the machine, so each of them takes about as long as all that are under way. What exceeds a
number is refused, which costs a small part of an answer.

That number has a high and a low watermark. The high one counts while nothing is refused: for the case that many come in
one moment, or that the service is away. Once it is reached, the low one counts until nothing has been refused for a
while. Then those that are accepted are answered as without the excess, although refusing the others takes processor
time. A limit that follows the latency, as TCP Vegas has it [1]_, would also fall if only the service is slow or away.

Starting a request costs many times what refusing one costs. So the event loop sends and receives between a few of
them and the next; otherwise neither refusals nor answers would leave the server meanwhile.

References
----------
.. [1] Brakmo, O'Malley, Peterson: TCP Vegas: New Techniques for Congestion Detection and Avoidance, SIGCOMM 1994.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application

from producer.web.problems import Refusal

PER_TURN: Final = 32
"""Requests that are started in one turn of the event loop: about ten milliseconds of work."""
PER_TURN_OVERLOADED: Final = 4
"""The same while requests are refused, because each turn then has many refusals that wait for its end."""
LOW_SHARE: Final = 8
"""The low watermark is the high one by this: enough that all parts of the chain have work."""
CALM_S: Final = 1.0
"""If nothing was refused for so long, the overload is over."""
LOG_INTERVAL_S: Final = 1.0
log = structlog.get_logger()


class Starting:
    """The requests that are not started yet, and the number of all. Owner: the event loop; all connections add theirs.

    Parameters
    ----------
    at_once
        Requests are refused while as many are under way: the high watermark.
    on_refused
        Is called for each refusal, with the method of the request; "other" if it is not known.
    """

    def __init__(self, at_once: int, on_refused: Callable[[str], None]) -> None:
        self._at_once = at_once
        self._low = max(1, at_once // LOW_SHARE)
        self._on_refused = on_refused
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_running = False
        self._arrived = 0
        self._unlogged = 0
        self._refused_at_s = -math.inf

    @property
    def under_way(self) -> int:
        """Requests that are not started, or whose body has arrived. A slow body takes no place from others."""
        return len(self._waiting) + self._arrived

    @property
    def is_full(self) -> bool:
        """True if one more request is to be refused."""
        return self.under_way >= (self._low if self._is_overloaded else self._at_once)

    @property
    def _is_overloaded(self) -> bool:
        return time.monotonic() - self._refused_at_s < CALM_S

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
        if method == "POST":  # a connection that is one too many says nothing of requests
            self._refused_at_s = time.monotonic()
        self._on_refused(method)
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self._log)
        self._unlogged += 1

    def _start_some(self) -> None:
        most = PER_TURN_OVERLOADED if self._is_overloaded else PER_TURN
        for _ in range(min(most, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)
        else:
            self._is_running = False

    def _log(self) -> None:
        count, self._unlogged = self._unlogged, 0
        log.warning("requests refused", code=Refusal.BUSY.value, status=int(Refusal.BUSY.status), count=count)
