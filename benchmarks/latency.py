"""How long an answer takes, from producing a request to a read_committed reader that has its result.

Requests go out on a fixed timetable. The time of each starts when it was due, so a slow sender makes
the figures worse, not better. Sender and reader share a process and its clock.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console

from broker import Cluster
from contract import headers
from tests.harness.service import running_service
from tests.harness.topics import Broker, fresh_topics

WARM_UP_S: Final = 8.0
GRACE_S: Final = 10.0
"""For the last results; what is missing then is an error, not a figure."""


async def measure(
    cluster: Cluster, images: list[bytes], *, rates: list[int], seconds: float, console: Console
) -> dict[str, Any]:
    """Send at each rate for a while and time the results.

    Parameters
    ----------
    cluster
        A running broker.
    images
        Sent one after the other, again and again.
    rates
        Images per second.
    seconds
        How long at each rate; before that, a warm-up at the same rate.
    console
        Shows the figures of each rate.

    Returns
    -------
    dict
        By rate: what `at_rate` returns.
    """
    measured = {}
    async with fresh_topics(cluster) as broker, running_service(broker, workers=None):
        for rate in rates:
            measured[str(rate)] = await at_rate(broker, images, rate=rate, seconds=seconds)
            times = "p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms, worst {max_ms:.0f} ms".format(**measured[str(rate)])
            console.print(f"latency at {rate:,}/s: {times}")
    return measured


async def at_rate(broker: Broker, images: list[bytes], *, rate: int, seconds: float) -> dict[str, float]:
    """Send at a rate to a running service, after a warm-up at the same rate.

    Returns
    -------
    dict
        As `summary`, and ``own_cpu_percent``: what sender and reader, which are one process, take of a core. Near 100
        the latencies are theirs, not those of the service.
    """
    await _latencies_ms(broker, images, rate=rate, seconds=WARM_UP_S)
    began_s, used_s = time.monotonic(), time.process_time()
    taken_ms = await _latencies_ms(broker, images, rate=rate, seconds=seconds)
    share = (time.process_time() - used_s) / (time.monotonic() - began_s)
    return summary(taken_ms) | {"own_cpu_percent": share * 100}


def summary(taken_ms: list[float]) -> dict[str, float]:
    """Return how many latencies there are, and the ms within which half, 99 % and all of the images had a result."""
    p50, p99, worst = (float(np.percentile(taken_ms, q)) for q in (50, 99, 100))
    return {"images": len(taken_ms), "p50_ms": p50, "p99_ms": p99, "max_ms": worst}


async def _latencies_ms(broker: Broker, images: list[bytes], *, rate: int, seconds: float) -> list[float]:
    count = int(rate * seconds)
    servers = broker.cluster.bootstrap_servers
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="latest",
        enable_auto_commit=False,
    )
    async with consumer, _upstream(servers) as producer:
        consumer.assign([TopicPartition(broker.topics.predictions, each) for each in range(broker.partitions)])
        await consumer.seek_to_end()
        began_s = time.monotonic()
        async with asyncio.timeout(seconds + GRACE_S), asyncio.TaskGroup() as group:
            reader = group.create_task(_read(consumer, count), name="reader")
            for number, image in zip(range(count), itertools.cycle(images), strict=False):
                await asyncio.sleep(began_s + number / rate - time.monotonic())
                name = (headers.REQUEST_ID, str(number).encode())
                partition = number % broker.partitions
                await producer.send(broker.topics.requests, image, partition=partition, headers=[name])
    return [(arrived_s - began_s - number / rate) * 1000 for number, arrived_s in reader.result().items()]


def _upstream(servers: str) -> AIOKafkaProducer:
    """Give a producer with the defaults of Kafka's own client: idempotent, 5 ms of linger (since 4.0, KIP-1030)."""
    return AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, linger_ms=5)


async def _read(consumer: AIOKafkaConsumer, count: int) -> dict[int, float]:
    """Return when each result arrived, by the number of its request."""
    arrived_s: dict[int, float] = {}
    while len(arrived_s) < count:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            now_s = time.monotonic()
            for record in records:
                arrived_s[int(dict(record.headers)[headers.REQUEST_ID])] = now_s
    return arrived_s
