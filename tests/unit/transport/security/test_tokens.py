"""Tokens: fetched once for all clients, renewed in time, and never shown; the endpoint is a real one on loopback."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.token_issuer import SECRET, Issuer, running_issuer
from transport.security import oidc
from transport.security.msk_iam import MskIam
from transport.security.oidc import ClientCredentials
from transport.security.tokens import MAX_PAUSE_S, Token, TokenProvider, TokenRefusedError, TokenUnavailableError


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("issuer") / "key.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return path


@pytest.fixture
async def issuer(key_file: Path) -> AsyncIterator[Issuer]:
    async with running_issuer(key_file, "service") as issuer:
        yield issuer


def credentials(url: str, secret: str = SECRET, ca_file: Path | None = None, **parameters: str) -> ClientCredentials:
    return ClientCredentials(url, "digits", lambda: secret, parameters, ca_file)


class Fetching:
    """Answers as a test says, by a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.count = 0
        self.error: Exception | None = None

    def provider(self) -> TokenProvider:
        return TokenProvider(self.fetch, {}, lambda: self.now_s)

    async def fetch(self) -> Token:
        self.count += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return Token(f"token {self.count}", self.now_s, self.now_s + 100)


async def test_a_hundred_clients_cause_one_request_for_a_token() -> None:
    fetching = Fetching()
    provider = fetching.provider()
    assert set(await asyncio.gather(*(provider.token() for _ in range(100)))) == {"token 1"}
    assert fetching.count == 1


async def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left() -> None:
    fetching = Fetching()
    provider = fetching.provider()
    seen = []
    for passed_s in (0, 79, 2):
        fetching.now_s += passed_s
        seen.append(await provider.token())
    assert seen == ["token 1", "token 1", "token 2"]


async def test_a_token_that_cannot_be_renewed_serves_until_it_expires(caplog: pytest.LogCaptureFixture) -> None:
    fetching = Fetching()
    provider = fetching.provider()
    await provider.token()
    fetching.error = TokenUnavailableError("away")
    for passed_s in (85, 6):
        fetching.now_s += passed_s
        assert await provider.token() == "token 1"
    assert [(each.message, each.__dict__["why"]) for each in caplog.records] == [("no new token", "away")]
    fetching.now_s += 20
    with pytest.raises(TokenUnavailableError, match="away"):
        await provider.token()
    fetching.error = None
    fetching.now_s += MAX_PAUSE_S
    assert await provider.token() == f"token {fetching.count}"


async def test_clients_that_wait_for_the_same_attempt_share_its_failure() -> None:
    fetching = Fetching()
    fetching.error = TokenRefusedError("invalid_client")
    provider = fetching.provider()
    failed = await asyncio.gather(*(provider.token() for _ in range(100)), return_exceptions=True)
    assert {(type(each), str(each)) for each in failed} == {(TokenRefusedError, "invalid_client")}
    assert fetching.count == 1


async def test_a_cancelled_token_request_does_not_block_other_clients() -> None:
    fetching = Fetching()
    provider = fetching.provider()
    first, second = asyncio.ensure_future(provider.token()), asyncio.ensure_future(provider.token())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token 1"
    assert first.cancelled()


async def test_a_token_is_asked_for_with_all_parameters_and_an_encoded_secret(issuer: Issuer) -> None:
    token = await credentials(issuer.url, scope="kafka read", audience="kafka").fetch()
    assert issuer.forms == [{"grant_type": "client_credentials", "scope": "kafka read", "audience": "kafka"}]
    assert token.value == issuer.tokens[0]
    assert token.expires_at_s - token.issued_at_s == issuer.lifetime_s
    assert token.value not in repr(token)


ANOTHER_ANSWER = "answers, but not with an access token and its life in seconds"


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, '{"error": "invalid_scope"}', TokenRefusedError, "refuses client 'digits': HTTP 400 invalid_scope"),
        (401, f'{{"error": "x", "error_description": "not {SECRET}"}}', TokenRefusedError, "HTTP 401 x: not ********"),
        (404, "<html>", TokenRefusedError, "refuses client 'digits': HTTP 404"),
        (302, "", TokenRefusedError, "refuses client 'digits': HTTP 302"),
        (200, "<html>", TokenRefusedError, ANOTHER_ANSWER),
        (200, '{"access_token": 7}', TokenRefusedError, ANOTHER_ANSWER),
        (200, '{"access_token": "x", "expires_in": "soon"}', TokenRefusedError, ANOTHER_ANSWER),
        (200, '{"access_token": "x\\n", "expires_in": 60}', TokenRefusedError, ANOTHER_ANSWER),
        (429, "", TokenUnavailableError, "has no token for now: HTTP 429"),
        (503, "[]", TokenUnavailableError, "has no token for now: HTTP 503"),
    ],
)
async def test_an_endpoint_that_gives_no_token_is_named_with_its_reason(
    issuer: Issuer, status: int, body: str, kind: type[Exception], said: str
) -> None:
    issuer.answer = (status, body)
    with pytest.raises(kind) as caught:
        await credentials(issuer.url).fetch()
    assert str(caught.value).startswith(f"the token endpoint {issuer.url} ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_an_unreachable_token_endpoint_is_tried_again() -> None:
    url = f"http://{HOST}:{free_ports(1)[0]}/token"
    with pytest.raises(TokenUnavailableError, match=r"cannot be reached: Connect.*"):
        await credentials(url).fetch()


async def test_an_endpoint_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "TIMEOUT_S", 0.05)
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # to its end
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(listen, HOST, 0) as server:
        with pytest.raises(TokenUnavailableError, match=r"has not answered within 0\.05 s"):
            await credentials(f"http://{HOST}:{server.sockets[0].getsockname()[1]}/token").fetch()
        await ended.wait()


async def test_an_endpoint_is_trusted_by_the_authority_of_its_file(key_file: Path, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(tmp_path / "endpoint.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    async with running_issuer(key_file, "service", certificate=tmp_path / "endpoint.pem") as issuer:
        assert (await credentials(issuer.url, ca_file=tmp_path / "ca.pem").fetch()).value == issuer.tokens[0]
        with pytest.raises(TokenRefusedError, match=r"certificate that cannot be trusted: .*CA_FILE\)$"):
            await credentials(issuer.url, ca_file=tmp_path / "other.pem").fetch()


async def test_a_secret_that_is_replaced_is_taken_for_the_next_token(issuer: Issuer) -> None:
    secrets = iter(["the old one", SECRET])
    asking = ClientCredentials(issuer.url, "digits", lambda: next(secrets), {}, None)
    with pytest.raises(TokenRefusedError, match="HTTP 401 invalid_client: no such client"):
        await asking.fetch()
    assert (await asking.fetch()).value == issuer.tokens[0]


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let AWS's libraries find nothing on this machine, and send no request."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_aws")
async def test_a_token_for_msk_is_signed_without_asking_anyone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with caplog.at_level(logging.INFO):
        token = await MskIam("eu-central-1").fetch()
    address = base64.urlsafe_b64decode(token.value + "=" * (-len(token.value) % 4)).decode()
    assert address.startswith("https://kafka.eu-central-1.")
    assert "Action=kafka-cluster%3AConnect" in address
    assert "X-Amz-Credential=AKIDEXAMPLE%2F" in address
    assert 890 < token.expires_at_s - token.issued_at_s < 910
    assert SECRET not in caplog.text + address


@pytest.mark.usefixtures("no_aws")
async def test_missing_aws_credentials_are_an_error_with_what_to_set() -> None:
    with pytest.raises(TokenRefusedError, match="there are no AWS credentials: set AWS_ACCESS_KEY_ID"):
        await MskIam("eu-central-1").fetch()
