"""What a flood of the worst records on one partition leaves to the traffic of another.

Each round answers the same images twice, alone and beside a flood that does not end meanwhile, so whatever else the
machine does meets both. Rates are taken from the timestamps that the broker gives the results, and are those of the
second half of the images. The first half is left out since a service and topics just started are slow at first, which
shows where they are alone and hides where a flood slows them anyway: with it, the flood would seem to cost less.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from typing import Any, Final

from rich.console import Console

from broker import Cluster
from tests.harness import worst_inputs
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

FLOODED, LEGAL = 0, 1
"""Partitions."""
BOMBS: Final = 100
SHARE_BAR: Final = 0.5
"""Legal traffic keeps at least so much of its rate."""
DEADLINE_S: Final = 600.0
_LOOK_PAUSE_S: Final = 0.2


async def measure(cluster: Cluster, images: list[bytes], *, rounds: int, console: Console) -> dict[str, Any]:
    """Answer images of one partition, alone and beside a flood, in several rounds.

    Parameters
    ----------
    cluster
        Stamps records when they arrive (``log.message.timestamp.type=LogAppendTime``).
    images
        The legal traffic of each round.
    rounds
        Of which the median counts.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        Rates in images per second, ``share``: the median of the rounds' ratios, and its ``bar``.
    """
    worst = [make() for make in (*worst_inputs.IMAGES.values(), *worst_inputs.RECORDS.values())]
    flood = list(itertools.islice(itertools.cycle(worst), BOMBS))
    taken = []
    for number in range(1, rounds + 1):
        alone = await _legal_rate(cluster, images, [])
        beside = await _legal_rate(cluster, images, flood)
        taken.append({"alone_images_per_s": alone, "beside_images_per_s": beside, "share": beside / alone})
        console.print(
            f"flood, round {number}: alone {alone:,.0f}/s, beside a flood {beside:,.0f}/s: {beside / alone:.0%}"
        )
    medians = {name: statistics.median(each[name] for each in taken) for name in taken[0]}
    return {"images": len(images), "rounds": taken, **medians, "bar": SHARE_BAR}


async def _legal_rate(cluster: Cluster, images: list[bytes], flood: list[bytes]) -> float:
    async with fresh_topics(cluster) as broker:
        await broker.send(flood, partition=FLOODED)
        await broker.send(images, partition=LEGAL)
        async with running_service(broker, workers=None), asyncio.timeout(DEADLINE_S):
            while (await broker.committed_offsets())[LEGAL] != len(images):  # noqa: ASYNC110  # offsets of a group send no event
                await asyncio.sleep(_LOOK_PAUSE_S)
            if flood and (await broker.committed_offsets())[FLOODED] == len(flood):
                raise RuntimeError("the flood was over before the images were answered: send more images, or less")
        results = await broker.read(broker.topics.predictions)
    times_ms = sorted(result.timestamp for result in results if result.partition == LEGAL)
    if len(times_ms) != len(images):
        raise RuntimeError(f"{len(images)} images have {len(times_ms)} results")
    middle_ms = times_ms[len(times_ms) // 2]
    after_middle: int = sum(1 for time in times_ms if time > middle_ms)
    return float(after_middle / (times_ms[-1] - middle_ms) * 1000)
