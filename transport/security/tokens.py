"""Tokens for SASL/OAUTHBEARER: one provider for all clients of a process, which asks for a token only when it has to.

A token is kept until a fifth of its life is left (Kafka's own ``sasl.login.refresh.window.factor``). The client asks
for it at every new connection, so a renewed one is taken without a restart. aiokafka cannot authenticate again within
a connection (KIP-368): a broker closes the connection at the token's end, and the next one brings a new token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

log = logging.getLogger(__name__)

REFRESH_FRACTION: Final = 0.8
"""Of a token's life, after which the next connection fetches a new one."""
MIN_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 5.0
"""Between two attempts to fetch a token. Longer would hold up an instance whose endpoint is there again."""


class TokenUnavailableError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka ships no types
    """There is no token for now; to try again may help. To the client it is a broker that is away."""

    def __str__(self) -> str:
        return str(self.args[0])


class TokenRefusedError(SaslAuthenticationFailed):  # type: ignore[misc]  # aiokafka ships no types
    """Whoever issues tokens refuses us one; to try again would not help."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Token:
    """What a broker wants to see.

    Attributes
    ----------
    value
        The secret itself; no error and no log may hold it.
    issued_at_s, expires_at_s
        Seconds since 1970.
    """

    value: str
    issued_at_s: float
    expires_at_s: float

    def __repr__(self) -> str:
        return f"Token(expires_at_s={self.expires_at_s:.0f})"

    @property
    def renew_at_s(self) -> float:
        """When the next connection fetches a new one."""
        return self.issued_at_s + REFRESH_FRACTION * (self.expires_at_s - self.issued_at_s)


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]  # aiokafka ships no types
    """Hears a broker out that refuses a token.

    The broker says no by a challenge, and closes the exchange when the client answers it (RFC 7628, section 3.2.3).
    aiokafka 0.14 takes any answer for a yes, and then takes the broker's complaint about the next request for an
    answer without content.
    Forced by test_what_stands_between_us_and_the_broker_is_named, with "token for others".
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            return b"\x01", True  # the broker's answer to it is the error that the connection raises
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """Gives the clients of a process their tokens.

    Parameters
    ----------
    fetch
        Returns a new token within a bounded time, or raises `TokenUnavailableError` or `TokenRefusedError`.
    extensions
        SASL extensions that are sent with every token.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Token]],
        extensions: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        conn.OAuthAuthenticator = _Authenticator  # nothing public lets one choose; pinned to this minor version
        self._fetch = fetch
        self._extensions = dict(extensions)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._attempts = 0
        self._pause_s = self._retry_at_s = 0.0
        self._failure: TokenUnavailableError | TokenRefusedError | None = None

    def extensions(self) -> dict[str, str]:
        """Return the SASL extensions; aiokafka asks for them beside each token."""
        return self._extensions

    async def token(self) -> str:
        """Return a token that has not expired.

        Raises
        ------
        TokenUnavailableError, TokenRefusedError
            There is none, and why.
        """
        seen = self._attempts
        async with self._lock:  # one caller asks, the others wait for the same answer
            if self._token is None or self._clock() >= self._token.renew_at_s:
                # Who has waited for an attempt that failed shares its failure: a hundred clients in a row would
                # otherwise each wait for a deadline of their own.
                if self._attempts == seen:
                    await self._attempt()
                if self._token is None or self._clock() >= self._token.expires_at_s:
                    raise self._failed()
            return self._token.value

    async def _attempt(self) -> None:
        await asyncio.sleep(min(self._pause_s, max(0.0, self._retry_at_s - self._clock())))
        try:
            self._token = await self._fetch()
        except (TokenUnavailableError, TokenRefusedError) as error:
            if self._failure is None:
                then = "the old one serves until it expires" if self._still_valid() else "clients connect again later"
                log.warning("no new token", extra={"why": str(error), "action": then})
            self._failure = error
            self._pause_s = min(MAX_PAUSE_S, max(MIN_PAUSE_S, 2 * self._pause_s))
            self._retry_at_s = self._clock() + self._pause_s
        else:
            if self._failure is not None:
                log.info("new token fetched")
            self._failure = None
            self._pause_s = 0.0
        self._attempts += 1  # not one that was cancelled: who waited for it tries by itself

    def _still_valid(self) -> bool:
        return self._token is not None and self._clock() < self._token.expires_at_s

    def _failed(self) -> TokenUnavailableError | TokenRefusedError:
        """Return the failure as an error of its own for each caller: a shared one would collect their tracebacks."""
        if self._failure is None:
            return TokenUnavailableError("the token expired as soon as it was fetched: compare the clocks")
        return type(self._failure)(*self._failure.args)
