"""Tokens by OpenID Connect: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4)."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import aiohttp

from transport.security.secret_files import MASK, UnusableError, client_context
from transport.security.tokens import Token, TokenRefusedError, TokenUnavailableError

TIMEOUT_S: Final = 5.0
"""The time limit of one request to the token endpoint: a client that connects waits for it."""
MAX_RESPONSE_BYTES: Final = 256 * 1024
"""The bytes of a response that are read; a token is much shorter."""
DEFAULT_LIFETIME_S: Final = 60.0
"""The lifetime of a token if the endpoint does not send one, which RFC 6749 only recommends."""
MAX_REASON_CHARS: Final = 200
TEMPORARY: Final = frozenset({408, 425, 429})
"""HTTP statuses below 500 that mean that a later request may succeed."""
CA_FILE: Final = "SASL_OAUTHBEARER_CA_FILE"
NAMES: Final = "(DIGITS_KAFKA__SASL_OAUTHBEARER_CLIENT_ID, __SASL_OAUTHBEARER_CLIENT_SECRET)"


@dataclass(frozen=True)
class ClientCredentials:
    """The token endpoint, and the client for which it issues tokens.

    Attributes
    ----------
    url
        The token endpoint.
    client_id, client_secret
        The client; its secret is read again for every token, so that a replaced file is used.
    parameters
        Parameters of the request besides the grant type: ``scope``, ``audience``, …
    ca_file
        Authorities that sign the endpoint's certificate; None for the system's.
    """

    url: str
    client_id: str
    client_secret: Callable[[], str]
    parameters: Mapping[str, str]
    ca_file: Path | None

    def check(self) -> None:
        """Raise `UnusableError` unless the files can be used."""
        self.client_secret()
        client_context(self.ca_file, CA_FILE)

    async def fetch(self) -> Token:
        """Request a token from the endpoint.

        Raises
        ------
        TokenUnavailableError
            The endpoint does not answer in time, or fails.
        TokenRefusedError
            The endpoint refuses the client, answers without a token, has a certificate that we do not trust, or one
            of our files cannot be used.
        """
        try:
            secret = self.client_secret()
            context = client_context(self.ca_file, CA_FILE)
        except UnusableError as error:
            raise TokenRefusedError(f"DIGITS_KAFKA__{error}") from None
        asked_at_s = time.time()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._ask(secret, context)
        except TimeoutError:
            raise TokenUnavailableError(f"{self._endpoint} has not answered within {TIMEOUT_S:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", None) or type(error.certificate_error).__name__
            raise TokenRefusedError(
                f"{self._endpoint} has a certificate that cannot be trusted: {why} "
                "(DIGITS_KAFKA__SASL_OAUTHBEARER_CA_FILE)"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TokenUnavailableError(f"{self._endpoint} cannot be reached: {_reason(error)}") from None
        # Our errors are raised from None, because these errors may contain the request with the secret.
        if status == 200:  # noqa: PLR2004  # the only status with a token
            return self._token(body, asked_at_s)
        why = _error_reason(body).replace(secret, MASK)
        if status in TEMPORARY or status >= 500:  # noqa: PLR2004  # a failure of the endpoint
            raise TokenUnavailableError(f"{self._endpoint} has no token for now: HTTP {status} {why}".rstrip())
        raise TokenRefusedError(f"{self._endpoint} refuses client {self.client_id!r}: HTTP {status} {why} {NAMES}")

    @property
    def _endpoint(self) -> str:
        return f"the token endpoint {self.url}"

    async def _ask(self, secret: str, context: ssl.SSLContext) -> tuple[int, bytes]:
        # Section 2.3.1: HTTP Basic, which every endpoint must support; each part is encoded as in a form.
        user = base64.b64encode(f"{quote_plus(self.client_id)}:{quote_plus(secret)}".encode()).decode()
        form = {"grant_type": "client_credentials", **self.parameters}
        async with (
            # A new session for every token, because the next token is requested minutes or hours later.
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.post(
                self.url,
                data=form,
                headers={"Authorization": f"Basic {user}", "Accept": "application/json"},
                allow_redirects=False,  # the secret is sent only to the address of the setting
            ) as answer,
        ):
            return answer.status, await answer.content.read(MAX_RESPONSE_BYTES)

    def _token(self, body: bytes, asked_at_s: float) -> Token:
        answer = _json(body)
        value, lifetime = answer.get("access_token"), answer.get("expires_in", DEFAULT_LIFETIME_S)
        try:
            lifetime_s = float(lifetime)  # some endpoints write it as text
        except (TypeError, ValueError):
            lifetime_s = 0.0
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not lifetime_s > 0:
            raise TokenRefusedError(
                f"{self._endpoint} answers, but not with an access token and its life in seconds: is it the right "
                "address (DIGITS_KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL)?"
            )
        return Token(value, asked_at_s, asked_at_s + lifetime_s)


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _error_reason(body: bytes) -> str:
    """Return the reason in an error response of RFC 6749, section 5.2; empty if there is none."""
    answer = _json(body)
    parts = [str(answer[name]).splitlines()[0] for name in ("error", "error_description") if answer.get(name)]
    return "".join(each for each in ": ".join(parts) if each.isprintable())[:MAX_REASON_CHARS]


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return getattr(cause, "strerror", None) or type(error).__name__
