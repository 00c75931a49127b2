"""The rights of the HTTP server that docs/security.md lists suffice, each is needed, and the one missing is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from broker import Cluster
from producer.web.gateway import sender
from producer.web.gateway.interface import UnavailableError
from producer.web.gateway.keys import once as keys
from producer.web.gateway.opening import open_gateway
from producer.web.gateway.service import KafkaGateway
from producer.web.gateway.settings import GatewaySettings
from tests.harness.acls import Right, allow, documented
from tests.harness.gateways import followed, new_request, once, playing_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from tests.security.conftest import User
from transport.errors import KafkaRequestError
from transport.settings.kafka import ClientSettings

RIGHTS = documented("\n### The HTTP server")
CREATE = documented("\nIf the keys topic is missing")
SETTINGS = documented("\nOne more right is recommended. Without it the server")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kafka refuses is asked again until the time limit."""
    monkeypatch.setattr(sender, "SEND_TIMEOUT_S", 5.0)
    monkeypatch.setattr(keys, "SEND_TIMEOUT_S", 5.0)


@pytest.fixture
def settings(secure_broker: Broker, user: User, monkeypatch: pytest.MonkeyPatch) -> ClientSettings:
    for name, value in (secure_broker.environment | user.environment).items():
        monkeypatch.setenv(name, value)
    return ClientSettings()


def gateway_settings(broker: Broker) -> GatewaySettings:
    return GatewaySettings(keys_topic=f"{broker.topics.requests}.keys", keys_partitions=2)


async def work(settings: ClientSettings, broker: Broker) -> None:
    """Do all that a server does: send with and without a key, answer, and find what another server has sent."""
    given = gateway_settings(broker)
    async with open_gateway(settings, given, lambda _: None) as one, open_gateway(settings, given, print) as other:
        await ready(one)
        await ready(other)
        plain, keyed = new_request(one), once()
        for request in (plain, keyed):
            assert await one.submit(request)
            assert len(await followed(one, request)) == 1
            found = await other.find(request.request_id, request.tenant)
            assert found is not None
            assert found.complete
        assert not await other.submit(keyed)


async def ready(gateway: KafkaGateway) -> None:
    """Return when a gateway is ready, also for keys.

    Raises
    ------
    UnavailableError
        It lacks a right.
    """

    def why_not() -> str | None:
        state = gateway.state()
        return state.why_not_ready or state.why_keys_not_ready

    why = await eventually(why_not, lambda why: why is None or "ACL" in why)
    if why is not None:
        raise UnavailableError("it is not ready", why)


async def rights_but(broker: Broker, user: User, rights: Sequence[Right], missing: Right | None = None) -> None:
    assert isinstance(broker.cluster, Cluster)
    await allow(broker.cluster, user.name, [each.of(broker) for each in rights if each != missing])


@pytest.mark.parametrize("user", ["certificate", "password"], indirect=True)
async def test_a_gateway_works_with_the_documented_rights(
    secure_broker: Broker, user: User, settings: ClientSettings
) -> None:
    await rights_but(secure_broker, user, [*RIGHTS, *CREATE])
    async with playing_service(secure_broker):
        await work(settings, secure_broker)


@pytest.mark.parametrize("missing", RIGHTS, ids=str)
async def test_a_gateway_names_the_right_that_it_lacks(
    secure_broker: Broker, secure_cluster: Cluster, user: User, settings: ClientSettings, missing: Right
) -> None:
    await secure_broker.cluster.create_topics({f"{secure_broker.topics.requests}.keys": {}}, partitions=2)
    await rights_but(secure_broker, user, RIGHTS, missing)
    async with playing_service(secure_broker):
        with pytest.raises((KafkaRequestError, UnavailableError)) as caught:
            await work(settings, secure_broker)
        why = caught.value.why if isinstance(caught.value, UnavailableError) else str(caught.value)
        assert "ACL" in why
        assert missing.of(secure_broker).name.rstrip(".") in why
        await allow(secure_cluster, user.name, [missing.of(secure_broker)])
        await work(settings, secure_broker)


async def test_without_the_right_to_create_the_keys_topic_requests_without_a_key_are_answered(
    secure_broker: Broker, user: User, settings: ClientSettings
) -> None:
    await rights_but(secure_broker, user, RIGHTS)
    async with (
        playing_service(secure_broker),
        open_gateway(settings, gateway_settings(secure_broker), lambda _: None) as gateway,
    ):
        await eventually(lambda: gateway.state().ready)
        assert f"{secure_broker.topics.requests}.keys" in (gateway.state().why_keys_not_ready or "")
        plain = new_request(gateway)
        assert await gateway.submit(plain)
        assert len(await followed(gateway, plain)) == 1
        with pytest.raises(UnavailableError):
            await gateway.submit(once())


@pytest.mark.parametrize("sees_settings", [True, False])
async def test_a_gateway_knows_the_largest_request_where_it_may_read_the_limit(
    secure_broker: Broker, user: User, settings: ClientSettings, *, sees_settings: bool
) -> None:
    await rights_but(secure_broker, user, [*RIGHTS, *CREATE, *(SETTINGS if sees_settings else [])])
    async with open_gateway(settings, gateway_settings(secure_broker), lambda _: None) as gateway:
        assert (gateway._limit_bytes is not None) is sees_settings
