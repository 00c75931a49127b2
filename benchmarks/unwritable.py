"""What a partition of results that cannot be written to leaves to the other partitions.

Two services have topics with four partitions each, of the same number of replicas. Once broker 3 of three is dead, one
service can write all results; the other one has a partition of predictions without a leader, or with too few replicas
in sync. Each round measures both, one after the other, while the other has nothing to do: how fast the other three
partitions are drained. The one partition has a few requests in each round, so that its lane always tries to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from broker import Cluster
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.unwritable import LACKS, UNWRITABLE, Placed, replicas_elsewhere, without_broker_3
from tests.harness.waiting import eventually

PARTITIONS: Final = 4
OTHERS: Final = [partition for partition in range(PARTITIONS) if partition != UNWRITABLE]
FEW: Final = 20
"""Requests of the one partition in a round: its lane has something to write, and takes no time from the others."""
SHARE_BAR: Final = 0.8
"""The other partitions keep at least so much of their rate."""
PATIENTLY: Final = {"DIGITS_KAFKA__SESSION_TIMEOUT_MS": "600000"}
"""A service is frozen while requests are sent to it, and the group must not remove it."""
DEADLINE_S: Final = 900.0


@dataclass
class _Side:
    """A service, and how many requests each of the other partitions has."""

    broker: Broker
    service: Service
    sent: int = 0

    async def drained_per_s(self, images: Sequence[bytes]) -> float:
        """Send images to each of the other partitions; return how many of all are answered in a second."""
        self.service.freeze()
        await self.broker.send(images[:FEW], partition=UNWRITABLE)
        for partition in OTHERS:
            await self.broker.send(images, partition=partition)
        self.sent += len(images)
        begun_s = time.monotonic()
        self.service.thaw()
        await eventually(self._left, lambda left: left == 0, deadline_s=DEADLINE_S)
        return len(OTHERS) * len(images) / (time.monotonic() - begun_s)

    async def _left(self) -> int:
        """Ask the service: a client of our own might ask the broker that is dead."""
        lanes = (await self.service.health())["partitions"]
        committed = {lane["partition"]: lane["committed_offset"] or 0 for lane in lanes}
        return sum(self.sent - committed.get(partition, 0) for partition in OTHERS)


async def measure(cluster: Cluster, images: Sequence[bytes], *, rounds: int, console: Console) -> dict[str, Any]:
    """Drain partitions beside one that cannot be written to, in several rounds.

    Parameters
    ----------
    cluster
        Three brokers.
    images
        Of all other partitions together, in each measurement.
    rounds
        Of which the median counts.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        By what the partition lacks: the rates of each round in images per second, the median ``rate`` of the other
        partitions, and ``share``, the median of the rounds' ratios to the rate where all can be written; the ``bar``.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs each attempt to reach the dead broker
    of_each = images[: max(FEW, len(images) // len(OTHERS))]
    lacks: dict[str, dict[str, Any]] = {}
    for lack, replicas in LACKS.items():
        taken = await _rates(cluster, replicas, of_each, rounds)
        lacks[lack] = {"rounds": taken} | summary(taken)
        console.print(
            "unwritable, no {lack}: {rate:,.0f}/s, {share:.0%} of the rate with it".format(lack=lack, **lacks[lack])
        )
        cluster.nodes[2].start()
        await asyncio.to_thread(cluster.wait_until_ready)
    return {"images": len(OTHERS) * len(of_each), "bar": SHARE_BAR, "lacks": lacks}


async def _rates(
    cluster: Cluster, replicas: Sequence[int], images: Sequence[bytes], rounds: int
) -> list[dict[str, float]]:
    """Return the rates of the other partitions in each round, where all can be written and where one cannot."""
    async with contextlib.AsyncExitStack() as stack:
        sides = [await _started(stack, cluster, each) for each in (replicas_elsewhere(replicas), replicas)]
        for side in sides:  # the first images are slow: code and connections are new
            await side.drained_per_s(images[: 10 * FEW])
        cluster.nodes[2].kill()
        await without_broker_3(sides[1].broker, replicas)
        for side in sides:  # leaders and coordinators have moved
            await side.drained_per_s(images[: 10 * FEW])
        names = "writable_per_s", "unwritable_per_s"
        return [
            {name: await side.drained_per_s(images) for name, side in zip(names, sides, strict=True)}
            for _ in range(rounds)
        ]


def summary(taken: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median rate beside a partition that cannot be written to, and the median share of the rate without."""
    return {
        "rate": statistics.median(each["unwritable_per_s"] for each in taken),
        "share": statistics.median(each["unwritable_per_s"] / each["writable_per_s"] for each in taken),
    }


async def _started(stack: contextlib.AsyncExitStack, cluster: Cluster, replicas: Sequence[int]) -> _Side:
    topics = fresh_topics(Placed(cluster, replicas), partitions=PARTITIONS)
    broker = await stack.enter_async_context(topics)
    service = await stack.enter_async_context(running_service(broker, PATIENTLY, workers=None))
    return _Side(broker, service)
