"""How many requests a client may send: per second, and at once."""

from __future__ import annotations

import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from producer.web.problems import ProblemError, Refusal
from producer.web.settings import AccessSettings

MOST_IDLE_CLIENTS: Final = 10_000
"""Clients that are remembered without a request under way; the ones that were idle longest are forgotten."""


@dataclass(slots=True)
class _Client:
    tokens: float
    filled_at_s: float
    at_once: int = 0


class Allowances:
    """The allowance of each client: a token bucket, and a number of requests. Owner: the server."""

    def __init__(self, settings: AccessSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    @contextlib.contextmanager
    def request(self, client: str, per_s: float | None = None) -> Iterator[None]:
        """Count a request of a client for the length of the context.

        Parameters
        ----------
        client
            A name of the client.
        per_s
            Its own rate; None: as the settings say.

        Raises
        ------
        ProblemError
            The client has sent too much, or has too many requests under way.
        """
        found = self._client(client)
        if found.at_once >= self._settings.at_once:
            raise ProblemError(
                Refusal.TOO_MANY_AT_ONCE,
                f"A client may have {self._settings.at_once:,} requests under way.",
                retry_after_s=1,
            )
        self._take(found, self._settings.per_s if per_s is None else per_s)
        found.at_once += 1
        try:
            yield
        finally:
            found.at_once -= 1

    def _client(self, client: str) -> _Client:
        found = self._clients.get(client)
        if found is None:
            found = self._clients[client] = _Client(self._settings.burst, self._clock())
            self._forget()
        self._clients.move_to_end(client)
        return found

    def _forget(self) -> None:
        if len(self._clients) > MOST_IDLE_CLIENTS:
            name, oldest = self._clients.popitem(last=False)
            if oldest.at_once:  # it is not idle, and the number of its requests must not be lost
                self._clients[name] = oldest

    def _take(self, client: _Client, per_s: float) -> None:
        if per_s == 0:
            return
        now_s = self._clock()
        client.tokens = min(self._settings.burst, client.tokens + (now_s - client.filled_at_s) * per_s)
        client.filled_at_s = now_s
        if client.tokens < 1:
            raise ProblemError(
                Refusal.RATE_LIMITED,
                f"The client may send {per_s:g} requests per second.",
                retry_after_s=math.ceil((1 - client.tokens) / per_s),
            )
        client.tokens -= 1
