"""A slow line between the service and its broker: what is large takes its time, and other partitions are answered."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.images import drawn_digits, zipped
from tests.harness.producer_command import audited
from tests.harness.relay import relaying
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, Position, fresh_topics, position
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow  # a broker starts for it

BYTES_PER_S = 2e6
ENTRIES = 10_000
ENTRY_BYTES = 1_473
ARCHIVE_BYTES = 15_700_000
ARCHIVE, IMAGES = 0, 1
"""The partition of each."""
DONE_S = 180.0
"""For a machine that is slow and busy. A quiet one takes half a minute, most of it for the line."""
LEAST_IMAGES = 5


def damaged_archive() -> bytes:
    """Pack PNGs that are damaged after their header; they cannot be compressed, and each becomes a dead letter."""
    noise, start = random.Random(0), drawn_digits(1)[0][:60]  # noqa: S311  # no secret
    return zipped([(f"{index}.png", start + noise.randbytes(ENTRY_BYTES - len(start))) for index in range(ENTRIES)])


@dataclass
class Answered:
    """What was answered until the archive was."""

    archive_s: float = 0.0
    images_s: list[float] = field(default_factory=list)
    """Of each image that was sent after the one before it was answered."""


@pytest.fixture
def relayed(cluster: Cluster) -> Iterator[tuple[Cluster, int]]:
    """A broker of its own, and the port of a relay in front of it."""
    del cluster  # where Kafka is not installed, it has skipped the test
    [port] = free_ports(1)
    with running_broker(relays=[port]) as own:
        yield own, port


async def answered(broker: Broker) -> Answered:
    """Send images one after the other until the archive is answered; it must have been sent."""
    found, begun_s, digit = Answered(), time.monotonic(), drawn_digits(1)

    while True:
        sent_s = time.monotonic()
        sent = await broker.send(digit, partition=IMAGES)

        async def ends(image: Position = sent[0]) -> tuple[bool, bool]:
            offsets = await broker.committed_offsets()  # not over the slow line
            return offsets[IMAGES] == image.offset + 1, offsets[ARCHIVE] is not None

        _, is_done = await eventually(ends, any, deadline_s=DONE_S)
        if is_done:
            found.archive_s = time.monotonic() - begun_s
            return found
        found.images_s.append(time.monotonic() - sent_s)


def troubles(service: Service) -> list[str]:
    return [event["event"] for event in service.events if event["level"] in ("warning", "error")]


@pytest.mark.timeout(600)
async def test_a_large_archive_over_a_slow_line_is_answered_and_so_are_others_meanwhile(
    relayed: tuple[Cluster, int],
) -> None:
    cluster, port = relayed
    archive = damaged_archive()
    assert abs(len(archive) - ARCHIVE_BYTES) < ARCHIVE_BYTES / 100
    through = {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{port}"}
    async with (
        fresh_topics(cluster, partitions=2) as broker,
        relaying(port, cluster.nodes[0].relayed_port, bytes_per_s=BYTES_PER_S) as relay,
        running_service(broker, through, workers=2) as service,
    ):
        await broker.send(drawn_digits(1), partition=IMAGES)
        await broker.everything_answered()
        before = relay.line.carried_bytes
        await broker.send([archive], partition=ARCHIVE)
        found = await answered(broker)
        line_s = (relay.line.carried_bytes - before) / BYTES_PER_S
        slowest_s, count = max(found.images_s), len(found.images_s)
        print(f"archive: {found.archive_s:.1f} s, {line_s:.1f} s of them for its bytes on the line")  # noqa: T201  # the figures that the test is for
        print(f"meanwhile {count} images, the slowest in {slowest_s:.1f} s")  # noqa: T201  # as above
        assert found.archive_s < DONE_S
        assert count >= LEAST_IMAGES
        assert slowest_s < found.archive_s / 2, "an image has waited for the archive"
        await broker.everything_answered()
        assert troubles(service) == []
        assert await service.metric("digits_lanes_lost_total") == 0
        items = [position(result).partition for result in await broker.results()]
        assert (items.count(ARCHIVE), items.count(IMAGES)) == (ENTRIES, count + 2)
        assert len(await broker.dead_letters()) == ENTRIES
        await audited(broker, count + 3)
