"""What partitions cost: start, idle processor time, latency and memory of a service, by the number of its partitions.

Each number of partitions is measured on a broker of its own, so that the topics of the numbers before cost nothing. The
first service and topics only warm the broker up.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from rich.console import Console

from benchmarks import latency, processes
from broker import Cluster
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

COUNTS: Final = (8, 64, 256)
MOST_FOR_LATENCY: Final = 64
"""With more partitions no latency is measured: the reader and the sender would need too much of the processor."""
SETTLE_S: Final = 5.0


async def measure(
    cluster: Cluster, images: list[bytes], *, partitions: int, rates: list[int], seconds: float, console: Console
) -> dict[str, Any]:
    """Measure a service on fresh topics with a number of partitions.

    Parameters
    ----------
    cluster
        A fresh broker.
    images
        Sent before the service is idle, at least one for each partition; then, again and again, for latency.
    partitions
        Of each topic.
    rates
        Images per second at which latency is measured, unless there are more partitions than `MOST_FOR_LATENCY`.
    seconds
        How long the idle service is watched, and how long images are sent at each rate.
    console
        Shows the figures.

    Returns
    -------
    dict
        ``start_s``: from the start of the process to ready, for a group without offsets; ``restart_s``: the same for
        a group with offsets; ``idle``: % of a core of the service process (``loop``), its ``workers`` and the
        ``broker``; ``latency``: by rate, as `benchmarks.latency.at_rate`, and where the time goes, see `_at_rate`;
        ``pss_peak_mb`` and ``rss_peak_mb`` of the service process.
    """
    async with fresh_topics(cluster) as broker, running_service(broker, workers=None):
        await broker.send(images)
        await broker.everything_answered()
    async with fresh_topics(cluster, partitions=partitions) as broker:
        start_s = await _first_start_s(broker, images)
        began_s = time.monotonic()
        async with starting_service(broker, workers=None) as service:
            restart_s = await _ready_s(service, began_s)
            async with processes.peak_memory(service.process.pid) as peak:
                idle = await _idle_percent(cluster, service, seconds=seconds)
                at_rates = {
                    str(rate): await _at_rate(cluster, broker, service, images, rate=rate, seconds=seconds)
                    for rate in rates
                    if partitions <= MOST_FOR_LATENCY
                }
                memory = peak.in_mb()
    console.print(
        f"{partitions} partitions: ready after {start_s:.1f} s, restarted after {restart_s:.1f} s; idle: "
        + ", ".join(f"{part} {percent:.1f} %" for part, percent in idle.items())
        + "".join(
            "; at {rate}/s p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms, of which workers {classify_ms:.0f} ms and "
            "transaction {commit_ms:.0f} ms on average; of a core: loop {loop_percent:.0f} %, workers "
            "{workers_percent:.0f} %, broker {broker_percent:.0f} %, sender and reader {own_cpu_percent:.0f} %".format(
                rate=rate, **times
            )
            for rate, times in at_rates.items()
        )
        + ", peak {pss_peak_mb:.0f} MB (PSS)".format(**memory)
    )
    return {"start_s": start_s, "restart_s": restart_s, "idle": idle, "latency": at_rates, **memory}


async def _first_start_s(broker: Broker, images: list[bytes]) -> float:
    """Start a service whose group has no offsets, have images of all partitions answered, and end it."""
    began_s = time.monotonic()
    async with starting_service(broker, workers=None) as service:
        start_s = await _ready_s(service, began_s)
        await broker.send([images[number % len(images)] for number in range(max(len(images), broker.partitions))])
        await broker.everything_answered()
        service.terminate()
        await service.wait()
    return start_s


async def _ready_s(service: Service, began_s: float) -> float:
    await eventually(service.is_ready, deadline_s=START_DEADLINE_S)
    return time.monotonic() - began_s


async def _at_rate(
    cluster: Cluster, broker: Broker, service: Service, images: list[bytes], *, rate: int, seconds: float
) -> dict[str, float]:
    """Measure latency at a rate, and where the time goes.

    Returns
    -------
    dict
        As `benchmarks.latency.at_rate`. And, the warm-up included: ``loop_percent``, ``workers_percent``,
        ``broker_percent``: of a core; ``classify_ms``: how long a chunk has waited for workers and been there, on
        average; ``commit_ms``: how long a transaction took; ``classify_per_s``, ``commit_per_s``: how many.
    """
    parts = processes.parts_of(cluster, service)
    began_s, before_s = time.monotonic(), {part: processes.cpu_s(*pids) for part, pids in parts.items()}
    before = {stage: await _stage(service, stage) for stage in ("classify", "commit")}
    figures = await latency.at_rate(broker, images, rate=rate, seconds=seconds)
    taken_s = time.monotonic() - began_s
    for part, pids in parts.items():
        figures[f"{part}_percent"] = (processes.cpu_s(*pids) - before_s[part]) / taken_s * 100
    for stage, (before_sum_s, before_count) in before.items():
        sum_s, count = await _stage(service, stage)
        figures[f"{stage}_ms"] = (sum_s - before_sum_s) / (count - before_count) * 1000
        figures[f"{stage}_per_s"] = (count - before_count) / taken_s
    return figures


async def _stage(service: Service, stage: str) -> tuple[float, float]:
    """Return the seconds that a stage has taken in all, and how often."""
    name = "digits_stage_seconds"
    return await service.metric(f"{name}_sum", stage=stage), await service.metric(f"{name}_count", stage=stage)


async def _idle_percent(cluster: Cluster, service: Service, *, seconds: float) -> dict[str, float]:
    await asyncio.sleep(SETTLE_S)
    parts = processes.parts_of(cluster, service)
    began_s, before_s = time.monotonic(), {part: processes.cpu_s(*pids) for part, pids in parts.items()}
    await asyncio.sleep(seconds)
    taken_s = time.monotonic() - began_s
    return {part: (processes.cpu_s(*pids) - before_s[part]) / taken_s * 100 for part, pids in parts.items()}
