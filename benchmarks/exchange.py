"""How long results pause while two instances exchange the model under load.

An alias is moved to one version after the other of the same model, while images are sent on a fixed timetable. Without
a probation both instances exchange the model at about the same time, which is the worst case for the reader. The gap is
the longest time between two results of the same partition, and between any two, as a read_committed reader sees them.
After each exchange follows a time of the same length without one, for comparison. At the end, an audit shows that each
image has one result.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console

from broker import Cluster
from contract.records import read_result
from tests.harness.exchange import Models, events, share_the_partitions
from tests.harness.models import version_of
from tests.harness.producer_command import audited
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually

RATE: Final = 1_000
"""Images per second."""
GAP_BAR_MS: Final = 500.0
WARM_UP_S: Final = 8.0
DEADLINE_S: Final = 300.0


class Results:
    """What a reader sees: when a partition had its last result, the longest gaps, and the models in order."""

    def __init__(self) -> None:
        self._last_s: dict[int, float] = {}
        self._gap_s = 0.0
        self._gap_of_one_s = 0.0
        self._any_s: float | None = None
        self.versions: dict[int, list[str]] = {}

    def note(self, partition: int, version: str, now_s: float) -> None:
        """Take note of a result of a partition of requests."""
        self._gap_s = max(self._gap_s, now_s - (now_s if self._any_s is None else self._any_s))
        self._gap_of_one_s = max(self._gap_of_one_s, now_s - self._last_s.get(partition, now_s))
        self._any_s = self._last_s[partition] = now_s
        seen = self.versions.setdefault(partition, [])
        if not seen or seen[-1] != version:
            seen.append(version)

    def gaps_ms(self) -> dict[str, float]:
        """Return the longest gaps since the last call."""
        gaps = {"gap_ms": self._gap_s * 1000, "gap_of_a_partition_ms": self._gap_of_one_s * 1000}
        self._gap_s = self._gap_of_one_s = 0.0
        return gaps


async def measure(cluster: Cluster, images: list[bytes], *, rounds: int, console: Console) -> dict[str, Any]:
    """Exchange the model under load, and find the longest gap between results.

    Parameters
    ----------
    cluster
        A running broker.
    images
        Sent one after the other, again and again.
    rounds
        How often the alias moves.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        The ``rounds``, each with the gaps ``with`` an exchange and ``without``; the longest with an exchange,
        ``gap_ms`` between any two results, ``gap_of_a_partition_ms`` between two of a partition; the ``bar_ms``.
    """
    taken: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="digitstream-exchange-") as folder:
        models = Models(f"{folder}/registry", Path(folder) / "cache", probation_s=0)
        for number in range(rounds, -1, -1):  # to publish and to check them takes this process time
            models.promote(version_of(str(number)))
        async with (
            fresh_topics(cluster) as broker,
            running_service(broker, models.settings, workers=None) as one,
            running_service(broker, models.settings, workers=None) as two,
        ):
            await share_the_partitions(one, two)
            async with _load(broker, images) as results:
                await asyncio.sleep(WARM_UP_S)
                results.gaps_ms()
                for number in range(1, rounds + 1):
                    taken.append(await _round(models, str(number), results, (one, two)))
                    console.print(
                        "exchange, longest gap of a partition: {with:.0f} ms, without one {without:.0f} ms".format(
                            **{name: each["gap_of_a_partition_ms"] for name, each in taken[-1].items()}
                        )
                    )
            expected = [str(number) for number in range(rounds + 1)]
            if any(seen != expected for seen in results.versions.values()):
                raise AssertionError(f"the models of a partition are out of order: {results.versions}")
    longest = {name: max(each["with"][name] for each in taken) for name in ("gap_ms", "gap_of_a_partition_ms")}
    return {"rate": RATE, "bar_ms": GAP_BAR_MS, "rounds": taken} | longest


async def _round(
    models: Models, version: str, results: Results, services: tuple[Service, ...]
) -> dict[str, dict[str, float]]:
    begun_s = time.monotonic()
    await asyncio.to_thread(models.promote, version_of(version))

    def have_moved() -> bool:
        return all(version in [each["version"] for each in events(one, "model exchanged")] for one in services)

    await eventually(have_moved, deadline_s=DEADLINE_S)
    with_ms = results.gaps_ms()
    await asyncio.sleep(time.monotonic() - begun_s)
    return {"with": with_ms, "without": results.gaps_ms()}


@contextlib.asynccontextmanager
async def _load(broker: Broker, images: list[bytes]) -> AsyncIterator[Results]:
    """Send at the rate and read the results until the context ends; then audit that each image has one result."""
    servers, results, enough, sent = broker.cluster.bootstrap_servers, Results(), asyncio.Event(), 0

    async def send() -> None:
        nonlocal sent
        begun_s = time.monotonic()
        async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, linger_ms=5) as producer:
            for image in itertools.cycle(images):
                if enough.is_set():
                    return
                await asyncio.sleep(begun_s + sent / RATE - time.monotonic())
                await producer.send(broker.topics.requests, image, partition=sent % broker.partitions)
                sent += 1

    async def read() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                now_s = time.monotonic()
                for record in records:
                    result = read_result(record.value)
                    results.note(result.source.partition, result.model.version, now_s)

    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async with consumer, asyncio.TaskGroup() as group:
        consumer.assign([TopicPartition(broker.topics.predictions, each) for each in range(broker.partitions)])
        reading, sending = group.create_task(read(), name="reader"), group.create_task(send(), name="sender")
        try:
            yield results
        finally:
            enough.set()
            await asyncio.wait({sending})
            await broker.everything_answered(deadline_s=DEADLINE_S)
            reading.cancel()
    await audited(broker, sent)
