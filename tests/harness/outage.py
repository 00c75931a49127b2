"""Watches a service while brokers stop and start, and waits until the brokers are healthy again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest

from benchmarks.processes import cpu_s
from broker.node import Node
from broker.probe import HOST
from tests.harness.service import Service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

LOOK_INTERVAL_S: Final = 0.1
DEADLINE_S: Final = 180.0
"""For the recovery of brokers on a machine that is slow and busy; a quiet one takes some seconds."""
ANSWER_S: Final = 1.0
COORDINATORS: Final = 8
CPU_SHARE: Final = 0.5
"""The most of one core that the service's own process may use: retries take a tenth of it, a busy loop takes all."""
LOG_LINES_PER_S: Final = 5.0
"""Some lines for each lane that is lost and starts again are fine; one for each attempt is too much."""


@dataclass
class Watch:
    """What the health server has answered, and the processor time that the process has used. Made by `watched`."""

    service: Service
    started_s: float = field(default_factory=time.monotonic)
    alive: bool = True
    """False once ``/livez`` has failed."""
    was_ready: bool = False
    """True once ``/readyz`` has answered 200."""
    cpu_started_s: float = 0.0
    lines_started: int = 0

    def was_calm(self) -> None:
        """Fail if it reported that it is stuck, or if its retries or their log lines were too many."""
        seconds = time.monotonic() - self.started_s
        cpu_share = (cpu_s(self.service.process.pid) - self.cpu_started_s) / seconds
        lines_per_s = (self.service.log.count("\n") - self.lines_started) / seconds
        assert self.alive, "/livez failed"
        assert cpu_share < CPU_SHARE
        assert lines_per_s < LOG_LINES_PER_S


@contextlib.asynccontextmanager
async def watched(service: Service) -> AsyncIterator[Watch]:
    """Poll the health server for the length of an ``async with`` block."""
    watch = Watch(service, cpu_started_s=cpu_s(service.process.pid), lines_started=service.log.count("\n"))

    async def look() -> None:
        while True:
            alive, _ = await service.get("/livez")
            watch.alive &= alive == 200
            ready, _ = await service.get("/readyz")
            watch.was_ready |= ready == 200
            await asyncio.sleep(LOOK_INTERVAL_S)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def brokers_well(broker: Broker, nodes: Sequence[Node], *, deadline_s: float = DEADLINE_S) -> float:
    """Wait until all partitions have leaders among these nodes and the coordinators answer; return when that was."""
    servers = [f"{HOST}:{node.port}" for node in nodes]
    return await eventually(lambda: _well_since(broker, servers), deadline_s=deadline_s)


async def _well_since(broker: Broker, servers: list[str]) -> float:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=int(ANSWER_S * 1000))
    try:
        async with asyncio.timeout(ANSWER_S):
            await admin.start()
            leaders = {p["leader"] for topic in await admin.describe_topics() for p in topic["partitions"]}
            live = {each.nodeId for each in admin._client.cluster.brokers()}
            if leaders - live or len(live) != len(servers):
                return 0.0
            coordinator = await admin.find_coordinator(broker.group_id)
            answer = await admin._send_request(OffsetFetchRequest(broker.group_id, None), coordinator)
            if answer.error_code:
                return 0.0
            for each in range(COORDINATORS):  # ids are new in each process: enough to find every coordinator
                await admin._client.coordinator_lookup(CoordinationType.TRANSACTION, f"{broker.group_id}.{each}")
    except (KafkaError, TimeoutError, OSError):
        return 0.0
    finally:
        await admin.close()
    return time.time()


async def first_results(
    broker: Broker,
    service: Service,
    since: float,
    *,
    partitions: Collection[int] | None = None,
    deadline_s: float = DEADLINE_S,
) -> tuple[float, float]:
    """Wait until these partitions' lanes, by default all, have committed after a moment.

    Returns
    -------
    first, last
        How many seconds after that moment the first lane and the last one did.
    """
    wanted = range(broker.partitions) if partitions is None else partitions
    first: dict[int, float] = {}

    async def lanes_to_come() -> int:
        for lane in (await service.health())["partitions"]:
            committed_s = (lane["last_commit_at_ms"] or 0) / 1000
            if committed_s > since and lane["partition"] in wanted:
                first.setdefault(lane["partition"], committed_s - since)
        return len(wanted) - len(first)

    await eventually(lanes_to_come, lambda left: left == 0, deadline_s=deadline_s)
    return min(first.values()), max(first.values())
