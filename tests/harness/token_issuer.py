"""A small OpenID provider: a token endpoint on loopback whose tokens a secure test broker accepts."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from broker.probe import HOST
from broker.security import AUDIENCE, ISSUER, KEY_ID

SECRET: Final = "s3cret: 100 % + ümlaut"  # noqa: S105  # a test's own, of all that has to be encoded
PATH: Final = "/realms/test/token"


class Issuer:
    """What it issues, and what it has been asked for.

    Attributes
    ----------
    lifetime_s
        Of the tokens from now on.
    subject
        The user in them.
    audience
        Whom they are for.
    answer
        If set, the status and body of every answer from now on.
    forms
        Of the requests so far.
    tokens
        Issued so far.
    url
        Of the token endpoint.
    """

    def __init__(self, key_file: Path, subject: str) -> None:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        self.subject = subject
        self.audience = AUDIENCE
        self.lifetime_s = 300.0
        self.answer: tuple[int, str] | None = None
        self.forms: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.forms.append(dict(await request.post()))
        if self.answer is not None:
            status, body = self.answer
            return web.Response(status=status, text=body)
        client, _, secret = (
            base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
        )
        if (unquote_plus(client), unquote_plus(secret)) != ("digits", SECRET):
            return web.json_response({"error": "invalid_client", "error_description": "no such client"}, status=401)
        self.tokens.append(self._signed())
        return web.json_response({"access_token": self.tokens[-1], "expires_in": self.lifetime_s})

    def _signed(self) -> str:
        now_s = time.time()
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        claims = {
            "iss": ISSUER,
            "aud": self.audience,
            "sub": self.subject,
            "iat": now_s,
            "exp": now_s + self.lifetime_s,
            "jti": f"token-{len(self.tokens)}",
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{_encoded(self._key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextlib.asynccontextmanager
async def running_issuer(key_file: Path, subject: str, *, certificate: Path | None = None) -> AsyncIterator[Issuer]:
    """Run a token endpoint for the length of an ``async with`` block, by https if there is a certificate."""
    issuer = Issuer(key_file, subject)
    app = web.Application()
    app.router.add_post(PATH, issuer.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        tls = None
        if certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate)
        site = web.TCPSite(runner, HOST, 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        issuer.url = f"{'https' if tls else 'http'}://{HOST}:{port}{PATH}"
        yield issuer
    finally:
        await runner.cleanup()
