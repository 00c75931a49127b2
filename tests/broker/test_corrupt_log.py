"""If a log is damaged on the broker's disk, the service stops, names the offset, and commits nothing after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import Cluster, running_broker
from tests.harness.images import drawn_digits
from tests.harness.service import starting_service
from tests.harness.topics import fresh_topics

pytestmark = pytest.mark.slow

CORRUPT_OFFSET = 2


@pytest.fixture
def own_broker(cluster: Cluster) -> Iterator[Cluster]:
    """A broker whose disk may be damaged."""
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker() as cluster_of_one:
        yield cluster_of_one


async def test_a_batch_with_a_wrong_checksum_is_fatal_after_a_second_fetch(own_broker: Cluster) -> None:
    async with fresh_topics(own_broker) as broker:
        digits = drawn_digits(4)
        for digit in digits:
            await broker.send([digit], partition=0)
        (node,) = own_broker.nodes
        node.stop()
        (segment,) = node.folder.glob(f"data/{broker.topics.requests}-0/*.log")
        log = segment.read_bytes()
        at = log.index(digits[CORRUPT_OFFSET]) + 20
        segment.write_bytes(log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :])
        node.start()
        own_broker.wait_until_ready()
        async with starting_service(broker) as service:
            assert await service.wait(deadline_s=120) == 1
            attempts = [event["attempt"] for event in service.events if event["event"] == "wrong checksum"]
            (fatal,) = [event for event in service.events if event.get("level") in ("error", "critical")]
        assert attempts[-5:] == [1, 2, 3, 4, 5]
        assert f"the log of {broker.topics.requests}/0 is damaged after offset {CORRUPT_OFFSET}" in str(fatal)
        committed = (await broker.committed_offsets())[0] or 0
        assert committed <= CORRUPT_OFFSET
        assert [result.source.offset for result in await broker.results()] == list(range(committed))
