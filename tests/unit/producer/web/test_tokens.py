"""Bearer tokens of an OpenID provider: genuine ones, forged ones, and a provider that is away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request

from producer.web.access.callers import Caller, Scope
from producer.web.access.guard import Guard
from producer.web.access.tokens import Tokens
from producer.web.problems import ProblemError
from producer.web.settings import AccessSettings, OidcSettings, WebSettings
from tests.harness.played_gateway import PlayedGateway
from tests.harness.web import DIGIT, client_of

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
AUDIENCE = "digits-api"


class Provider:
    """An OpenID provider on loopback: its keys, and how often they were fetched."""

    def __init__(self) -> None:
        self.issuer = ""
        self.keys: list[dict[str, Any]] = [_jwk(KEY, "rsa")]
        self.fetched = 0
        self.away = False

    async def configuration(self, _request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def show_keys(self, _request: web.Request) -> web.Response:
        self.fetched += 1
        return web.Response(status=503) if self.away else web.json_response({"keys": self.keys})

    def settings(self, **more: Any) -> OidcSettings:
        return OidcSettings(issuer=self.issuer, audience=AUDIENCE, **more)

    def token(self, *, key: Any = KEY, alg: str = "RS256", kid: str | None = "rsa", **claims: Any) -> str:
        now_s = int(time.time())
        whole = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ada", "iat": now_s, "exp": now_s + 60, "scope": "predict"}
        whole = {name: value for name, value in (whole | claims).items() if value is not None}
        return jwt.encode(whole, key, alg, {"kid": kid} if kid else None)


def _jwk(key: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/keys", provider.show_keys)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()


async def test_a_genuine_token_names_tenant_and_scopes(provider: Provider) -> None:
    caller = await Tokens(provider.settings()).caller(provider.token(scope="predict read other"))
    assert (caller.name, caller.tenant) == ("ada", "oidc:ada")
    assert caller.scopes >= {"predict", "read"}


async def test_another_claim_may_name_the_tenant_and_scopes_may_be_a_list(provider: Provider) -> None:
    tokens = Tokens(provider.settings(tenant_claim="org"))
    caller = await tokens.caller(provider.token(org="shop", scope=None, scp=["read"]))
    assert (caller.tenant, caller.scopes) == ("oidc:shop", frozenset({"read"}))
    assert "org" in (await _refusal(tokens, provider.token())).detail


async def test_forged_tokens_are_refused_by_name(provider: Provider) -> None:
    tokens = Tokens(provider.settings())
    for token, reason in _forged(provider).items():
        refusal = await _refusal(tokens, token)
        assert reason in refusal.detail
        assert refusal.refusal == "not-signed-in"
        assert 'error="invalid_token"' in refusal.headers["WWW-Authenticate"]
    assert provider.fetched == 1, "unknown keys must not make us flood the provider"


async def test_a_forged_token_is_refused_before_the_body_and_takes_no_place(provider: Provider) -> None:
    gateway = PlayedGateway()
    settings = WebSettings(access=AccessSettings(oidc=provider.settings(), at_once=1, per_s=0.001, burst=1))
    async with client_of(gateway, settings) as client:
        for token in _forged(provider):
            headers = {"Authorization": f"Bearer {token}"}
            response = await client.post("/v1/predict", content=_never(), headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "not-signed-in")
            assert gateway.sent == []
        genuine = {"Authorization": f"Bearer {provider.token()}"}
        assert (await client.post("/v1/predict", content=DIGIT, headers=genuine)).status_code == 200


async def test_a_new_key_of_the_provider_is_fetched(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(provider.settings())
    await tokens.caller(provider.token())
    provider.keys = [_jwk(OTHER_KEY, "new")]
    monkeypatch.setattr("producer.web.access.signing_keys.RETRY_PAUSE_S", 0)
    assert (await tokens.caller(provider.token(key=OTHER_KEY, kid="new"))).name == "ada"
    assert "does not have" in (await _refusal(tokens, provider.token())).detail


async def test_known_keys_stay_valid_while_the_provider_is_away(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(provider.settings())
    await tokens.caller(provider.token())
    provider.away = True
    monkeypatch.setattr("producer.web.access.signing_keys.RETRY_PAUSE_S", 0)
    monkeypatch.setattr("producer.web.access.signing_keys.FRESH_S", 0)
    assert (await tokens.caller(provider.token())).name == "ada"
    assert provider.fetched == 2


async def test_a_provider_that_was_never_reached_is_no_fault_of_the_client(provider: Provider) -> None:
    provider.away = True
    refusal = await _refusal(Tokens(provider.settings()), provider.token())
    assert (refusal.refusal, refusal.headers["Retry-After"]) == ("unavailable", "10")


async def test_what_a_token_has_admitted_ends_when_the_token_expires(provider: Provider) -> None:
    guard = Guard(AccessSettings(oidc=provider.settings()))
    valid, expired = provider.token(scope="read"), provider.token(scope="read", exp=int(time.time()) - 60)
    caller = await guard.identify(_request(valid))
    assert await guard.still_admits(_request(valid), caller, Scope.READ)
    assert not await guard.still_admits(_request(valid), caller, Scope.PREDICT)
    assert not await guard.still_admits(_request(expired), caller, Scope.READ)
    assert not await guard.still_admits(_request(provider.token(scope="read", sub="eve")), caller, Scope.READ)


def _request(token: str) -> Request:
    return Request({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


def _forged(provider: Provider) -> dict[str, str]:
    """Return tokens that must be refused, each with a part of the reason."""
    past_s = int(time.time()) - 3_600
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        _unsigned(provider): "algorithm",
        _hmac_with_public_key(provider, public): "algorithm",
        provider.token(key=b"0" * 32, alg="HS256"): "algorithm",
        provider.token(aud="another-api"): "another audience",
        provider.token(aud=None): "no claim aud",
        provider.token(iss="https://evil.test"): "another issuer",
        provider.token(iss=None): "no claim iss",
        provider.token(exp=past_s): "expired",
        provider.token(exp=None): "no claim exp",
        provider.token(nbf=int(time.time()) + 3_600): "not valid",
        provider.token(key=OTHER_KEY): "signature",
        provider.token(key=OTHER_KEY, kid="other"): "key that its issuer does not have",
        provider.token(key=EC_KEY, alg="ES256"): "not valid",
        provider.token(sub=None): "no claim sub",
        "a.b.c": "neither",
        "": "neither",
    }


async def _never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""  # pragma: no cover


async def _refusal(tokens: Tokens, token: str) -> ProblemError:
    accepted: Caller | None = None
    with contextlib.suppress(ProblemError):
        accepted = await tokens.caller(token)
    assert accepted is None
    with pytest.raises(ProblemError) as caught:
        await tokens.caller(token)
    return caught.value


def _unsigned(provider: Provider) -> str:
    _, claims, _ = provider.token().split(".")
    return f"{_encoded({'alg': 'none', 'typ': 'JWT', 'kid': 'rsa'})}.{claims}."


def _hmac_with_public_key(provider: Provider, public: bytes) -> str:
    """Sign with the public key as if it were a secret: a library that trusts `alg` would accept it."""
    _, claims, _ = provider.token().split(".")
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{claims}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), public)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _encoded(part: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
