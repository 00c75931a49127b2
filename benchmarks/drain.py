"""How fast a backlog is answered, end to end, against the loop one would write by hand.

Each round loads fresh topics with the same images. First the rival answers a part of them, then the engine alone
reads all, then the service answers all, each with the machine to itself. The service's rate is taken from the
timestamps that the broker gives its results, from the first batch to the last, so neither its start nor a reader
counts. Its processor time, without the broker's, is compared with that of the engine alone.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from aiokafka import ConsumerRecord
from rich.console import Console

from benchmarks import engine_alone, processes
from broker import Cluster
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics

RIVAL_IMAGES: Final = 2_000
WARM_UP_IMAGES: Final = 20_000
DEADLINE_S: Final = 300.0
_LOOK_PAUSE_S: Final = 0.2


async def measure(cluster: Cluster, images: list[bytes], *, svc: Path, rounds: int, console: Console) -> dict[str, Any]:
    """Answer a backlog in several rounds, the rival, the engine alone and the service alternately.

    Parameters
    ----------
    cluster
        Stamps records when they arrive (``log.message.timestamp.type=LogAppendTime``).
    images
        The backlog of each round.
    svc
        The rival's classifier.
    rounds
        Of which the median counts.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        Rates in images per second; where the service's time goes, and what the engine alone takes, in µs of processor
        time an image; and the medians of the rounds' ratios: ``times_by_hand`` of the rates, ``times_engine`` of the
        processor time of event loop and workers to that of the engine alone.
    """
    async with fresh_topics(cluster) as broker:  # a Java broker is slow at first
        await broker.send(images[:WARM_UP_IMAGES])
        await _drain_by_service(broker, cluster)
    taken = []
    with tempfile.TemporaryDirectory(prefix="digitstream-bench-") as folder:
        kept = Path(folder) / "images"
        engine_alone.keep(images, kept)
        for number in range(1, rounds + 1):
            async with fresh_topics(cluster) as broker:
                await broker.send(images)
                by_hand = await _drain_by_hand(broker, svc)
                engine_us = await engine_alone.measure(kept)
                ours = await _drain_by_service(broker, cluster)
            taken.append(compared(by_hand, engine_us, ours))
            console.print(
                "drain, round {number}: by hand {by_hand_images_per_s:,.0f}/s, the service {images_per_s:,.0f}/s, "
                "{times_by_hand:.1f} times; {times_engine:.2f} times the processor time of the engine alone".format(
                    number=number, **taken[-1]
                )
            )
    medians = {name: statistics.median(each[name] for each in taken) for name in taken[0]}
    return {"images": len(images), "rounds": taken, **medians}


async def wait_until_answered(broker: Broker, ends: dict[int, int], *, deadline_s: float = DEADLINE_S) -> None:
    """Return once the group has committed these offsets; raise `TimeoutError` at the deadline."""
    async with asyncio.timeout(deadline_s):
        while await broker.committed_offsets() != ends:  # noqa: ASYNC110  # offsets of a group send no event
            await asyncio.sleep(_LOOK_PAUSE_S)


def compared(by_hand_images_per_s: float, engine_us: float, ours: dict[str, float]) -> dict[str, float]:
    """Put the figures of a round together, with the ratios to the rival and to the engine alone.

    Parameters
    ----------
    by_hand_images_per_s
        The rival's rate.
    engine_us
        Processor time of the engine alone, µs an image.
    ours
        The figures of the service.
    """
    loop_and_workers_us = ours["loop_cpu_us_per_image"] + ours["workers_cpu_us_per_image"]
    return {
        "by_hand_images_per_s": by_hand_images_per_s,
        "engine_cpu_us_per_image": engine_us,
        **ours,
        "times_by_hand": ours["images_per_s"] / by_hand_images_per_s,
        "times_engine": loop_and_workers_us / engine_us,
    }


async def _drain_by_hand(broker: Broker, svc: Path) -> float:
    answers = f"{broker.topics.predictions}-by-hand"
    await broker.cluster.create_topics({answers: {}})
    arguments = [str(svc), broker.cluster.bootstrap_servers, broker.topics.requests, answers, str(RIVAL_IMAGES)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.baseline", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the rival ended with exit code {process.returncode}")
    return float(output)


async def _drain_by_service(broker: Broker, cluster: Cluster) -> dict[str, float]:
    ends = await broker.end_offsets(broker.topics.requests)
    async with running_service(broker, workers=None) as service:
        before, answered_before = _cpu_s(cluster, service), await _answered(broker)
        await wait_until_answered(broker, ends)
        after, images = _cpu_s(cluster, service), sum(ends.values()) - answered_before
        memory = processes.memory_bytes("Pss", *processes.of_session(service.process.pid))
    rate = _rate(await broker.read(broker.topics.predictions), sum(ends.values()))
    shares = {f"{part}_cpu_us_per_image": (after[part] - before[part]) / images * 1e6 for part in after}
    return {"images_per_s": rate, **shares, "memory_pss_mb": memory / 1e6}


async def _answered(broker: Broker) -> int:
    return sum(offset or 0 for offset in (await broker.committed_offsets()).values())


def _cpu_s(cluster: Cluster, service: Service) -> dict[str, float]:
    return {part: processes.cpu_s(*pids) for part, pids in processes.parts_of(cluster, service).items()}


def _rate(results: list[ConsumerRecord], count: int) -> float:
    """Return results per second after the first batch; raise unless there is one for each image."""
    ids = {json.loads(result.value)["result_id"] for result in results}
    if not len(ids) == len(results) == count:
        raise RuntimeError(f"{count} images have {len(results)} results with {len(ids)} different ids")
    times_ms = sorted(result.timestamp for result in results)
    span_s: float = (times_ms[-1] - times_ms[0]) / 1000
    return sum(1 for time in times_ms if time > times_ms[0]) / span_s
