"""The public keys of an OpenID provider: fetched, kept, and fetched again when a token names one that is not known."""

from __future__ import annotations

import asyncio
import json
import time
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import jwt
import structlog

from producer.web.settings import OidcSettings

FETCH_TIMEOUT_S: Final = 5.0
FRESH_S: Final = 300.0
"""After this time the keys are fetched again, so that keys that the provider withdraws are no longer accepted."""
RETRY_PAUSE_S: Final = 10.0
"""The least time between two fetches. Forged tokens with unknown keys must not make us flood the provider."""
MAX_DOCUMENT_BYTES: Final = 1024 * 1024
log = structlog.get_logger()


class NoKeysError(Exception):
    """The keys could not be fetched, so no token can be checked."""


class SigningKeys:
    """The provider's keys. Owner: the server; one request fetches, and others wait for it."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at_s: float | None = None
        self._tried_at_s: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key of this id; None if the provider has no such key.

        A token without an id is only accepted if the provider has a single key.

        Raises
        ------
        NoKeysError
            The keys have never been fetched, and cannot be now.
        """
        if self._is_due(key_id):
            async with self._lock:
                if self._is_due(key_id):
                    await self._fetch()
        if self._fetched_at_s is None:
            raise NoKeysError
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _is_due(self, key_id: str | None) -> bool:
        now_s = time.monotonic()
        if self._tried_at_s is not None and now_s - self._tried_at_s < RETRY_PAUSE_S:
            return False
        stale = self._fetched_at_s is None or now_s - self._fetched_at_s > FRESH_S
        return stale or (key_id is not None and key_id not in self._keys)

    async def _fetch(self) -> None:
        """Fetch the keys; if that fails, the former ones stay."""
        self._tried_at_s = time.monotonic()
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)) as session:
                url = self._settings.jwks_url or await self._discover(session)
                document = await _fetch_json(session, url)
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys if _is_for_signing(key)}
        except (aiohttp.ClientError, TimeoutError, jwt.PyJWTError, ValueError, LookupError, TypeError) as error:
            why = str(error) or type(error).__name__
            log.error("signing keys not fetched", why=why, action="keeping the former keys")  # noqa: TRY400  # `why` says it
        else:
            self._fetched_at_s = time.monotonic()

    async def _discover(self, session: aiohttp.ClientSession) -> str:
        issuer = self._settings.issuer
        document = await _fetch_json(session, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ValueError("the openid-configuration is of another issuer")
        return str(document["jwks_uri"])


def _is_for_signing(key: jwt.PyJWK) -> bool:
    # A symmetric key has no place in a public document, and all its readers could sign with it.
    return key.public_key_use in {None, "sig"} and key.key_type != "oct"


async def _fetch_json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, allow_redirects=False) as response:
        response.raise_for_status()
        if response.status != HTTPStatus.OK:
            raise ValueError(f"{url} answered with {response.status}")
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{url} answered with more than {MAX_DOCUMENT_BYTES:,} bytes")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url} did not answer with a JSON object")  # noqa: TRY004  # as any other wrong answer
    return document
