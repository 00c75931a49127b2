"""The end of a gateway's transaction arrives late, inside its next one; the gateway reaches its broker by a relay.

The Kafka client of the gateway has one epoch for all its transactions, so the broker would take the late request for
one of the next transaction, and commit the request that is written there, without its key.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

import pytest

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from producer.web.gateway.opening import open_gateway
from producer.web.gateway.settings import GatewaySettings
from tests.harness.gateways import client_settings, once, running_gateway
from tests.harness.request_relay import Kind, relaying_requests
from tests.harness.topics import fresh_topics

pytestmark = pytest.mark.slow  # a broker starts for it

ANSWER = struct.Struct(">ih")
"""Of the end of a transaction: how long it was held back, and the code of the error."""


@pytest.fixture(scope="module")
def relay_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def relayed(cluster: Cluster, relay_port: int) -> Iterator[Cluster]:
    """A broker that clients reach through a relay, too."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(relays=[relay_port]) as own:
        yield own


async def test_an_end_that_arrives_late_commits_no_request_without_its_key(relayed: Cluster, relay_port: int) -> None:
    first, second = once(b"first"), once(b"second")
    async with (
        fresh_topics(relayed) as broker,
        relaying_requests(relay_port, relayed.nodes[0].relayed_port) as relay,
    ):
        settings = client_settings(broker)
        settings = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": f"{HOST}:{relay_port}"})}
        )
        keys = GatewaySettings(keys_topic=f"{broker.topics.requests}.keys", keys_partitions=1)
        async with open_gateway(settings, keys, lambda _: None) as gateway, asyncio.timeout(60):
            submitting = asyncio.create_task(gateway.submit(first))
            with relay.holding(Kind.END) as ends:
                late = await ends.get()
            late.cut_off()
            assert await submitting
            submitting = asyncio.create_task(gateway.submit(second))
            with relay.holding(Kind.PRODUCE) as writes:
                (await writes.get()).pass_on()  # the request
                key = await writes.get()
                _, error = ANSWER.unpack(await late.deliver_late())
                key.pass_on()
            assert await submitting
        records = await broker.read(broker.topics.requests)
        assert sorted(record.value for record in records) == [b"first", b"second"]
        assert error, "the broker has accepted it"
        async with running_gateway(broker) as other:
            assert not await other.submit(first)
            assert not await other.submit(second)
