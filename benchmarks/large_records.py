"""How much memory the service process takes when every partition has records of the largest size.

The records are no images, so each of them becomes a dead letter with all its bytes. That is the most that the service
has to hold: a request, and an answer as large as the request.
"""

from __future__ import annotations

import shutil
import time
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks import processes
from benchmarks.drain import wait_until_answered
from broker import Cluster
from contract.topics import MAX_RECORD_BYTES
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

PARTITIONS: Final = 48
SPARE_BYTES: Final = 2 * 1024**3
DEADLINE_S: Final = 600.0


async def measure(cluster: Cluster, *, partitions: int, records: int, console: Console) -> dict[str, Any]:
    """Answer a backlog of the largest records.

    Parameters
    ----------
    cluster
        A running broker. Its disk takes each record twice: as request, and as dead letter.
    partitions
        How many have records.
    records
        Of each partition. With one, no partition has a next record that could be fetched too early.
    console
        Shows the figures.

    Returns
    -------
    dict
        ``partitions``, ``records``, ``record_mib``; ``seconds`` until everything was answered; ``pss_peak_mb`` and
        ``rss_peak_mb`` of the service process since its start, ``workers_rss_mb`` at the end.

    Raises
    ------
    RuntimeError
        The disk has not enough space.
    TimeoutError
        Not everything was answered after ten minutes.
    """
    check_space(shutil.disk_usage(cluster.folder).free, partitions * records)
    record = np.random.default_rng(0).bytes(MAX_RECORD_BYTES)
    async with fresh_topics(cluster, partitions=partitions) as broker:
        for partition in range(partitions):
            for _ in range(records):  # one by one: this process would hold them all at once otherwise
                await broker.send([record], partition=partition)
        ends = await broker.end_offsets(broker.topics.requests)
        async with running_service(broker, workers=None) as service:
            began_s = time.monotonic()
            async with processes.peak_memory(service.process.pid) as peak:
                await wait_until_answered(broker, ends, deadline_s=DEADLINE_S)
                memory = peak.in_mb()
            seconds = time.monotonic() - began_s
            workers = processes.parts_of(cluster, service)["workers"]
            memory["workers_rss_mb"] = processes.memory_bytes("Rss", *workers) / 1e6
    console.print(
        f"{partitions} partitions with {records} records of {MAX_RECORD_BYTES / 1024**2:.0f} MiB, {seconds:.0f} s: "
        "the service process had up to {pss_peak_mb:.0f} MB (PSS), {rss_peak_mb:.0f} MB (RSS)".format(**memory)
    )
    return {
        "partitions": partitions,
        "records": records,
        "record_mib": MAX_RECORD_BYTES / 1024**2,
        "seconds": seconds,
        **memory,
    }


def check_space(free_bytes: int, records: int) -> None:
    """Raise `RuntimeError` unless requests, dead letters and something in reserve fit on the disk."""
    needed_bytes = 2 * records * MAX_RECORD_BYTES + SPARE_BYTES
    if free_bytes < needed_bytes:
        raise RuntimeError(
            f"{records} records of {MAX_RECORD_BYTES / 1024**2:.0f} MiB and their dead letters need "
            f"{needed_bytes / 1e9:.1f} GB of disk, {free_bytes / 1e9:.1f} GB are free: use a smaller --large-records"
        )
