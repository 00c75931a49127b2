"""How soon results come again after something was killed, counted from the moment the service could go on.

instance killed  from the group's new generation, by the survivor's log, to the first commit of a partition taken over
worker killed    from the kill to the commit of the record that the worker was on
broker killed    from when everything has a leader and coordinators answer to the first commit, and to that of all lanes

Three brokers keep three copies of everything. A backlog gives every lane something to do at a steady pace all along, so
that no sender's own recovery is measured with the service's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from broker import Cluster
from tests.harness import poison
from tests.harness.images import drawn_digits
from tests.harness.outage import brokers_well, first_results
from tests.harness.poison import poisoned, poisoned_workers
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

INSTANCE_BAR_S, WORKER_BAR_S, BROKER_BAR_S = 3.0, 2.0, 5.0
STEADILY: Final = {
    "DIGITS_PACING__CHUNK_RECORDS": "4",
    "DIGITS_PACING__TRANSACTION_BYTES": "1024",
}
"""A hundred images a second and more."""
BUSY: Final = range(7)
"""Partitions with a backlog."""
FREE: Final = 7
"""The partition without one: what is sent there is next."""
BACKLOG: Final = 8_000
"""Images of a partition: more than any of these measurements answers."""
DEADLINE_S: Final = 120.0


async def measure(cluster: Cluster, *, rounds: int, console: Console) -> dict[str, Any]:
    """Kill instances, workers and brokers, one after the other, and time the first results.

    Parameters
    ----------
    cluster
        Three brokers.
    rounds
        Kills of each kind.
    console
        Shows the figures of each kind.

    Returns
    -------
    dict
        By what was killed: the seconds of each round, their median and maximum, and the bar.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs each broker that is down
    measured: dict[str, Any] = {}

    def show(what: str, taken_s: list[float], bar_s: float) -> None:
        measured[what] = {
            "rounds_s": taken_s,
            "median_s": statistics.median(taken_s),
            "max_s": max(taken_s),
            "bar_s": bar_s,
        }
        console.print(
            f"recovery, killed {what}: median {{median_s:.2f}} s, worst {{max_s:.2f}} s".format(**measured[what])
        )

    show("instance", await _instances_killed(cluster, rounds), INSTANCE_BAR_S)
    for workers in (2, 1):
        taken_s = await _workers_killed(cluster, rounds, workers)
        show(f"worker, one of {workers}", taken_s, WORKER_BAR_S)
    first_s, last_s = await _brokers_killed(cluster, rounds)
    show("broker, first lane", first_s, BROKER_BAR_S)
    show("broker, last lane", last_s, BROKER_BAR_S)
    return measured


@contextlib.asynccontextmanager
async def _with_backlog(cluster: Cluster) -> AsyncIterator[Broker]:
    async with fresh_topics(cluster) as broker:
        digits = drawn_digits(BACKLOG)
        for partition in BUSY:
            await broker.send(digits, partition=partition)
        yield broker


async def _instances_killed(cluster: Cluster, rounds: int) -> list[float]:
    async with _with_backlog(cluster) as broker, running_service(broker, STEADILY, workers=None) as survivor:
        return [await _instance_killed(broker, survivor) for _ in range(rounds)]


async def _instance_killed(broker: Broker, survivor: Service) -> float:
    async with running_service(broker, STEADILY, workers=None) as victim:
        taken_over = await eventually(lambda: _at_work(victim), deadline_s=DEADLINE_S)
        await eventually(lambda: _at_work(survivor), lambda lanes: lanes | taken_over == {*BUSY}, deadline_s=DEADLINE_S)
        killed_s = time.time()
        victim.kill()
        generation_s = await eventually(lambda: _assigned_s(survivor, taken_over, killed_s), deadline_s=DEADLINE_S)
        first_s, _ = await first_results(broker, survivor, generation_s, partitions=taken_over)
    return first_s


async def _at_work(service: Service) -> set[int]:
    """Give the busy partitions of an instance, once all of them have committed something."""
    lanes = [lane for lane in (await service.health())["partitions"] if lane["partition"] in BUSY]
    return {lane["partition"] for lane in lanes} if all(lane["last_commit_at_ms"] for lane in lanes) else set()


def _assigned_s(service: Service, partitions: set[int], since_s: float) -> float:
    """Give the moment at which an instance was given these partitions among others; 0 before."""
    for event in service.events:
        if event["event"] == "assigned" and partitions <= {*event["partitions"]}:
            at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
            if at_s > since_s:
                return at_s
    return 0.0


async def _workers_killed(cluster: Cluster, rounds: int, workers: int) -> list[float]:
    env = STEADILY | {"DIGITS_WORKERS": str(workers), "PYTHONPATH": poison.PYTHONPATH}
    async with _with_backlog(cluster) as broker, running_service(broker, env) as service:
        return [await _worker_killed(broker, service, workers) for _ in range(rounds)]


async def _worker_killed(broker: Broker, service: Service, workers: int) -> float:
    await eventually(lambda: service.metric("digits_workers"), lambda running: running == workers)
    with tempfile.TemporaryDirectory(prefix="digitstream-killed-") as folder:
        await broker.send([poisoned("wait", folder)], partition=FREE)  # its worker waits there to be killed
        (pid,) = await eventually(lambda: poisoned_workers(Path(folder)), deadline_s=DEADLINE_S)
        killed_s = time.time()
        os.kill(pid, signal.SIGKILL)
        first_s, _ = await first_results(broker, service, killed_s, partitions=[FREE])
    return first_s


async def _brokers_killed(cluster: Cluster, rounds: int) -> tuple[list[float], list[float]]:
    """Kill the broker that coordinates the group, wherever that is, and start it again."""
    first_s, last_s = [], []
    async with _with_backlog(cluster) as broker, running_service(broker, STEADILY, workers=None) as service:
        for _ in range(rounds):
            await eventually(lambda: _at_work(service), deadline_s=DEADLINE_S)
            killed = cluster.nodes[await broker.admin.find_coordinator(broker.group_id) - 1]
            killed.kill()
            well_s = await brokers_well(broker, [node for node in cluster.nodes if node is not killed])
            first, last = await first_results(broker, service, well_s, partitions=BUSY)
            first_s.append(first)
            last_s.append(last)
            killed.start()
            await asyncio.to_thread(cluster.wait_until_ready)
    return first_s, last_s
