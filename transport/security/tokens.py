"""Tokens for SASL/OAUTHBEARER: one provider for all clients of a process, which fetches a token only when needed.

A token is used until a fifth of its lifetime is left (Kafka's own ``sasl.login.refresh.window.factor``). Clients
request it for every new connection, so a new token needs no restart. aiokafka cannot authenticate again within a
connection (KIP-368): the broker closes the connection when the token expires, and the next one uses a new token.
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
"""The share of a token's lifetime after which the next connection fetches a new one."""
MIN_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 5.0
"""The longest pause between two attempts to fetch a token."""


class TokenUnavailableError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka ships no types
    """No token is available now; a later attempt may succeed. The client treats it as a broker that is down."""

    def __str__(self) -> str:
        return str(self.args[0])


class TokenRefusedError(SaslAuthenticationFailed):  # type: ignore[misc]  # aiokafka ships no types
    """The issuer refuses us a token; a retry would not help."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Token:
    """A token, and the time in which it is valid.

    Attributes
    ----------
    value
        The secret itself; it must not be in an error or a log.
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
        """The time from which on the next connection fetches a new token."""
        return self.issued_at_s + REFRESH_FRACTION * (self.expires_at_s - self.issued_at_s)


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]  # aiokafka ships no types
    """Detects that a broker refuses a token.

    The broker refuses by a challenge, and ends the exchange when the client answers it (RFC 7628, section 3.2.3).
    aiokafka 0.14 treats every answer as success, and the broker's error for the next request as an empty answer.
    Forced by test_what_stands_between_us_and_the_broker_is_named, with "token for others".
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            return b"\x01", True  # the broker answers with the error that the connection then raises
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """Provides the tokens of all clients of a process.

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
        """Return the SASL extensions; aiokafka calls this for each token."""
        return self._extensions

    async def token(self) -> str:
        """Return a token that has not expired.

        Raises
        ------
        TokenUnavailableError, TokenRefusedError
            There is no token; the message has the reason.
        """
        seen = self._attempts
        async with self._lock:  # one caller fetches, the others wait for the same token
            if self._token is None or self._clock() >= self._token.renew_at_s:
                # A caller that has waited for a failed attempt gets the same failure. Otherwise a hundred clients
                # would each wait for their own attempt, one after the other.
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
                action = "using the old token" if self._still_valid() else "retrying"
                log.warning("no new token", extra={"why": str(error), "action": action})
            self._failure = error
            self._pause_s = min(MAX_PAUSE_S, max(MIN_PAUSE_S, 2 * self._pause_s))
            self._retry_at_s = self._clock() + self._pause_s
        else:
            if self._failure is not None:
                log.info("new token fetched")
            self._failure = None
            self._pause_s = 0.0
        self._attempts += 1  # a cancelled attempt does not count: its waiters try themselves

    def _still_valid(self) -> bool:
        return self._token is not None and self._clock() < self._token.expires_at_s

    def _failed(self) -> TokenUnavailableError | TokenRefusedError:
        """Return the failure as a new error for each caller: a shared error would collect all their tracebacks."""
        if self._failure is None:
            return TokenUnavailableError("the token had expired when it was fetched: compare the clocks")
        return type(self._failure)(*self._failure.args)
