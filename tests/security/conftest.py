"""One secure cluster, and a user of each test's own, who comes by certificate or by password."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from broker import Cluster, running_broker
from tests.harness.acls import take_all_away
from tests.harness.topics import Broker, fresh_topics


@pytest.fixture(scope="session")
def secure_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """A broker with TLS, users and ACLs."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(secure=True) as secure:
        yield secure


@pytest.fixture
async def secure_broker(secure_cluster: Cluster) -> AsyncIterator[Broker]:
    """A test's own three topics on it, two partitions each."""
    async with fresh_topics(secure_cluster, partitions=2) as broker:
        yield broker


@dataclass(frozen=True)
class User:
    """A user whose rights each test sets."""

    name: str
    environment: dict[str, str]
    """The settings with which this user connects."""


@pytest.fixture
def by_certificate(secure_cluster: Cluster) -> Callable[[str], User]:
    """Make a user who comes by a certificate."""

    def made(name: str) -> User:
        assert secure_cluster.security is not None
        how = {
            "BOOTSTRAP_SERVERS": secure_cluster.bootstrap_servers,
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CA_FILE": str(secure_cluster.security.ca_file),
            "SSL_CERTIFICATE_FILE": str(secure_cluster.security.certificate_file(name)),
        }
        return User(name, _variables(how))

    return made


@pytest.fixture
async def user(
    request: pytest.FixtureRequest, secure_cluster: Cluster, by_certificate: Callable[[str], User]
) -> AsyncIterator[User]:
    """Come by a certificate made for the test; with the parameter "password", as the broker's own user `service`."""
    if getattr(request, "param", "certificate") == "certificate":
        user = by_certificate(f"user-{uuid.uuid4().hex[:8]}")
    else:
        security = secure_cluster.security
        assert security is not None
        how = {
            "BOOTSTRAP_SERVERS": secure_cluster.scram_servers,
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "SCRAM-SHA-512",
            "SASL_USERNAME": "service",
            "SASL_PASSWORD_FILE": str(security.password_file("service")),
            "SSL_CA_FILE": str(security.ca_file),
        }
        user = User("service", _variables(how))
    yield user
    await take_all_away(secure_cluster, user.name)


def _variables(settings: dict[str, str]) -> dict[str, str]:
    return {f"DIGITS_KAFKA__{name}": value for name, value in settings.items()}
