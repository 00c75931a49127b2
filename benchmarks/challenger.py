"""What a challenger costs: the rate at which a backlog is answered, without one and with the same model as challenger.

Each round answers the same images without a challenger, with one that has a tenth of them as its share, and with one
that has all. Rates are taken as in `benchmarks.flood`: from the broker's timestamps, over the second half. Workers
challenge only while no batch waits, so the figures also say how much of the share was read.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console

from benchmarks.drain import wait_until_answered
from broker import Cluster
from models import default_model
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

BARS: Final[Mapping[str, float]] = MappingProxyType({"0.1": 0.9, "1": 0.5})
"""By share: how much of the rate without a challenger is kept at least."""
WITHOUT: Final = "0"


async def measure(cluster: Cluster, images: list[bytes], *, rounds: int, console: Console) -> dict[str, Any]:
    """Answer a backlog with each share, in several rounds.

    Parameters
    ----------
    cluster
        Stamps records when they arrive (``log.message.timestamp.type=LogAppendTime``).
    images
        The backlog.
    rounds
        Of which the median counts.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        ``images_per_s`` without a challenger, and by share: ``kept``, the median of the rounds' ratios to that, its
        ``bar``, and ``read``, the part of the share that the challenger has read.
    """
    taken: list[dict[str, tuple[float, float]]] = []
    for number in range(1, rounds + 1):
        taken.append({share: await _rate_with(cluster, images, share) for share in (WITHOUT, *BARS)})
        alone = taken[-1][WITHOUT][0]
        for share, (rate, read) in taken[-1].items():
            figures = f"{rate:,.0f}/s, {rate / alone:.0%} of that without; read {read:.0%} of the share"
            console.print(f"challenger, round {number}, share {float(share):.0%}: {figures}")
    return {
        "images": len(images),
        "images_per_s": statistics.median(each[WITHOUT][0] for each in taken),
        "shares": {
            share: {
                "kept": statistics.median(each[share][0] / each[WITHOUT][0] for each in taken),
                "read": statistics.median(each[share][1] for each in taken),
                "bar": bar,
            }
            for share, bar in BARS.items()
        },
    }


async def _rate_with(cluster: Cluster, images: list[bytes], share: str) -> tuple[float, float]:
    env = {"DIGITS_CHALLENGER": str(default_model()), "DIGITS_CHALLENGER_SHARE": share} if share != WITHOUT else {}
    return await rate(cluster, images, env)


async def rate(cluster: Cluster, images: list[bytes], env: Mapping[str, str]) -> tuple[float, float]:
    """Return images per second of a service with these settings, and the part of a challenger's share that was read."""
    async with fresh_topics(cluster) as broker:
        await broker.send(images)
        ends = await broker.end_offsets(broker.topics.requests)
        async with running_service(broker, dict(env), workers=None) as service:
            await wait_until_answered(broker, ends)
            read, skipped = await asyncio.gather(
                service.metric("digits_challenger_compared_total"), service.metric("digits_challenger_skipped_total")
            )
        results = await broker.read(broker.topics.predictions)
    times_ms = sorted(result.timestamp for result in results)
    if len(times_ms) != len(images):
        raise RuntimeError(f"{len(images)} images have {len(times_ms)} results")
    middle_ms = times_ms[len(times_ms) // 2]
    after_middle = sum(1 for time in times_ms if time > middle_ms)
    return after_middle / (times_ms[-1] - middle_ms) * 1000, read / (read + skipped) if read else 0.0
