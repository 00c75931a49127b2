"""SASL/OAUTHBEARER with a real broker, which checks every token, and an endpoint that issues them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from broker import Cluster
from broker.security import ADMIN
from producer.errors import Exit
from tests.harness import producer_command
from tests.harness.images import drawn_digits
from tests.harness.service import running_service
from tests.harness.token_issuer import SECRET, Issuer, running_issuer
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from transport.reachability import NoTokenError, RefusedError, UnreachableError, probe_brokers
from transport.settings.connection import ConnectionSettings

PREFIX: Final = "DIGITS_KAFKA__"
SHORT_S: Final = 3
"""The life of a token that expires while a test looks on."""
RENEWALS: Final = 4


@pytest.fixture
async def issuer(secure_cluster: Cluster) -> AsyncIterator[Issuer]:
    assert secure_cluster.security is not None
    async with running_issuer(secure_cluster.security.issuer_key_file, ADMIN) as issuer:
        yield issuer


@pytest.fixture
def by_token(secure_cluster: Cluster, issuer: Issuer, tmp_path: Path) -> dict[str, str]:
    """Variables with which a client comes by a token."""
    assert secure_cluster.security is not None
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    settings = {
        "BOOTSTRAP_SERVERS": f"{secure_cluster.token_servers} ,",
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "OAUTHBEARER",
        "SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": issuer.url,
        "SASL_OAUTHBEARER_CLIENT_ID": "digits",
        "SASL_OAUTHBEARER_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "SSL_CA_FILE": str(secure_cluster.security.ca_file),
    }
    return {f"{PREFIX}{name}": value for name, value in settings.items()}


def line(environment: dict[str, str]) -> ConnectionSettings:
    return ConnectionSettings.model_validate(
        {name.removeprefix(PREFIX).lower(): each for name, each in environment.items()}
    )


@pytest.mark.slow
@pytest.mark.timeout(600)  # every token has to expire
async def test_a_service_goes_on_while_its_tokens_expire(
    secure_broker: Broker, issuer: Issuer, by_token: dict[str, str]
) -> None:
    issuer.lifetime_s = SHORT_S
    sent = []
    async with running_service(secure_broker, by_token) as service:
        issued = len(issuer.tokens)
        while len(issuer.tokens) < issued + RENEWALS:  # brokers have ended every session, each at its token's end
            sent += await secure_broker.send(drawn_digits(20))
            await secure_broker.everything_answered()
        warnings = [event for event in service.events if event["level"] in {"warning", "error", "critical"}]
        service.terminate()
        assert await service.wait() == 0
    results = await secure_broker.results()
    assert sorted((each.source.partition, each.source.offset) for each in results) == sorted(sent)
    # A session that ends while a transaction is under way costs that transaction, which is repeated.
    repeated = {"transaction not committed", "transaction's outcome unknown"}
    assert [each for each in warnings if each["event"] not in repeated or "closed" not in each["why"]] == []


async def test_a_producer_comes_by_a_token(secure_broker: Broker, by_token: dict[str, str]) -> None:
    done = await producer_command.run(secure_broker, "send", "-", stdin=b"an image", **by_token)
    assert (done.exit_code, done.err) == (Exit.OK, "")


REFUSED: dict[str, tuple[Callable[[Issuer], object], dict[str, str], type[Exception], str]] = {
    "token for others": (
        lambda issuer: setattr(issuer, "audience", "others"),
        {},
        RefusedError,
        r'the broker at [\d.:]+ refuses our token: \{"status":"invalid_token"\}; the broker\'s log says why .*',
    ),
    "unknown client": (
        lambda _: None,
        {"SASL_OAUTHBEARER_CLIENT_ID": "intruder"},
        RefusedError,
        (
            r"the token endpoint \S+ refuses client 'intruder': HTTP 401 invalid_client: no such client "
            r"\(DIGITS_KAFKA__SASL_OAUTHBEARER_CLIENT_ID, __SASL_OAUTHBEARER_CLIENT_SECRET\)"
        ),
    ),
    "endpoint away": (
        lambda _: None,
        {"SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "http://127.0.0.1:1/token"},
        NoTokenError,
        r"the token endpoint http://127\.0\.0\.1:1/token cannot be reached: .*",
    ),
    "endpoint in trouble": (
        lambda issuer: setattr(issuer, "answer", (503, "")),
        {},
        NoTokenError,
        r"the token endpoint \S+ has no token for now: HTTP 503",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_stands_between_us_and_the_broker_is_named(
    secure_broker: Broker, issuer: Issuer, by_token: dict[str, str], case: str
) -> None:
    prepare, settings, kind, said = REFUSED[case]
    prepare(issuer)
    environment = by_token | {f"{PREFIX}{name}": value for name, value in settings.items()}
    with pytest.raises((RefusedError, UnreachableError)) as caught:
        await probe_brokers(line(environment))
    assert type(caught.value) is kind
    assert re.fullmatch(said, str(caught.value))
    arguments = ("send", "-", "--wait-for-broker", "0.1")  # an endpoint that is away may come back
    done = await producer_command.run(secure_broker, *arguments, stdin=b"an image", **environment)
    assert done.exit_code == Exit.KAFKA
    assert re.fullmatch(rf"digit-producer: cannot reach Kafka at .*: {said}", done.err.splitlines()[-1])
    assert not [each for each in (SECRET, *issuer.tokens) if each in str(caught.value) + done.err]


async def test_a_mechanism_that_the_broker_does_not_offer_is_named(
    secure_cluster: Cluster, by_token: dict[str, str]
) -> None:
    said = r"does not take OAUTHBEARER, but PLAIN \(DIGITS_KAFKA__SASL_MECHANISM\)$"
    with pytest.raises(RefusedError, match=said):
        await probe_brokers(line(by_token | {f"{PREFIX}BOOTSTRAP_SERVERS": secure_cluster.plain_servers}))


async def test_a_service_waits_for_a_token_endpoint_that_comes_back(
    secure_broker: Broker, issuer: Issuer, by_token: dict[str, str]
) -> None:
    issuer.lifetime_s = SHORT_S
    async with running_service(secure_broker, by_token | {"DIGITS_LOG__LEVEL": "debug"}) as service:
        issuer.answer = (503, "")
        await eventually(lambda: [event for event in service.events if event["event"] == "no new token"])
        await secure_broker.send(drawn_digits(20))
        issuer.answer = None
        await secure_broker.everything_answered()
        assert service.process.poll() is None
        (warning,) = [event for event in service.events if event["event"] == "no new token"]
        assert warning["why"] == f"the token endpoint {issuer.url} has no token for now: HTTP 503"
        assert "Received group coordinator response" in service.log, "the client's log is not on"
        assert not [each for each in (SECRET, *issuer.tokens) if each in service.log]
    assert len(await secure_broker.results()) == 20
