"""What a partition of results that cannot be written to leaves to the other partitions.

Three services have topics with four partitions each. Once broker 3 of three is dead, one of them can write all results;
another has a partition of predictions without a leader, and the third one with too few replicas in sync. Each round
measures all three, one after the other, while the other two have nothing to do: how fast the other three partitions
are drained. The one partition has a few requests in each round, so that its lane always tries to write.
"""

from __future__ import annotations

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
from tests.harness.unwritable import LACKS, OTHERS_ON, UNWRITABLE, Placed, without_broker_3
from tests.harness.waiting import eventually

WRITABLE: Final = "nothing"
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
class _Lane:
    """A service whose one partition lacks something, and how many requests its other partitions have."""

    lacks: str
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
    """Drain partitions beside one that cannot be written to, in several rounds. Broker 3 is dead afterwards.

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
        By what the partition lacks: the median rate in images per second, and ``share``: the median of the rounds'
        ratios to the rate without any lack; and the ``bar``.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs each attempt to reach the dead broker
    each_gets = images[: max(FEW, len(images) // len(OTHERS))]
    placed = {WRITABLE: OTHERS_ON, **LACKS}
    taken: list[dict[str, float]] = []
    async with contextlib.AsyncExitStack() as stack:
        lanes = [await _started(stack, cluster, lacks, placed[lacks]) for lacks in placed]
        for lane in lanes:  # the first images are slow: code and connections are new
            await lane.drained_per_s(each_gets[: 10 * FEW])
        cluster.nodes[2].kill()
        for lane in lanes:
            if lane.lacks != WRITABLE:
                await without_broker_3(lane.broker, placed[lane.lacks])
            await lane.drained_per_s(each_gets[: 10 * FEW])  # leaders and coordinators have moved
        for number in range(1, rounds + 1):
            taken.append({lane.lacks: await lane.drained_per_s(each_gets) for lane in lanes})
            rates = ", ".join(f"{lacks} {rate:,.0f}/s" for lacks, rate in taken[-1].items())
            console.print(f"unwritable, round {number}: the partition lacks {rates}")
    return {"images": len(OTHERS) * len(each_gets), "rounds": taken, "bar": SHARE_BAR, "lacks": summary(taken)}


def summary(taken: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the medians of the rounds, by what the partition lacks."""
    return {
        lacks: {
            "images_per_s": statistics.median(each[lacks] for each in taken),
            "share": statistics.median(each[lacks] / each[WRITABLE] for each in taken),
        }
        for lacks in taken[0]
    }


async def _started(stack: contextlib.AsyncExitStack, cluster: Cluster, lacks: str, replicas: Sequence[int]) -> _Lane:
    topics = fresh_topics(Placed(cluster, replicas), partitions=PARTITIONS)
    broker = await stack.enter_async_context(topics)
    service = await stack.enter_async_context(running_service(broker, PATIENTLY, workers=None))
    return _Lane(lacks, broker, service)
