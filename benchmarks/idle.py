"""What the service takes of the machine while there is nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from rich.console import Console

from benchmarks import processes
from broker import Cluster
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

SETTLE_S: Final = 5.0


async def measure(cluster: Cluster, images: list[bytes], *, seconds: float, console: Console) -> dict[str, Any]:
    """Watch a service that has answered some images and has no more.

    Parameters
    ----------
    cluster
        A running broker.
    images
        Sent before.
    seconds
        How long it is watched.
    console
        Shows the outcome.

    Returns
    -------
    dict
        ``cpu_percent`` of one core, and memory of all processes in MB: ``rss_mb`` counts shared pages
        once for each process, ``pss_mb`` once in all.
    """
    async with fresh_topics(cluster) as broker, running_service(broker, workers=None) as service:
        await broker.send(images)
        await broker.everything_answered()
        await asyncio.sleep(SETTLE_S)
        service_and_workers = processes.of_session(service.process.pid)
        began_s, used_s = time.monotonic(), processes.cpu_s(*service_and_workers)
        await asyncio.sleep(seconds)
        share = (processes.cpu_s(*service_and_workers) - used_s) / (time.monotonic() - began_s)
        rss, pss = (processes.memory_bytes(kind, *service_and_workers) / 1e6 for kind in ("Rss", "Pss"))
    console.print(f"idle: {share:.1%} of a core, {rss:.0f} MB in {len(service_and_workers)} processes")
    return {"cpu_percent": share * 100, "rss_mb": rss, "pss_mb": pss, "processes": len(service_and_workers)}
