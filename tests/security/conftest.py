"""One secure cluster, and a user of each test's own, who comes by certificate."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from broker import Cluster, running_broker
from tests.harness.broker import Broker, fresh_topics


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
    """Whose rights are a test's own affair."""

    name: str
    environment: dict[str, str]
    """The settings with which he connects."""


@pytest.fixture
def user(secure_cluster: Cluster) -> User:
    assert secure_cluster.security is not None
    name = f"user-{uuid.uuid4().hex[:8]}"
    return User(
        name,
        {
            "DIGITS_KAFKA__SECURITY_PROTOCOL": "SSL",
            "DIGITS_KAFKA__SSL_CA_FILE": str(secure_cluster.security.ca_file),
            "DIGITS_KAFKA__SSL_CERTIFICATE_FILE": str(secure_cluster.security.certificate_file(name)),
        },
    )
