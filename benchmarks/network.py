"""The rate at which a backlog is answered with the convolutional network, beside that with the shipped default.

Both answer the same images in turn, each in a service of its own. Rates are taken as in `benchmarks.challenger`.
"""

from __future__ import annotations

import statistics
from typing import Any, Final

from rich.console import Console

from benchmarks.challenger import rate
from broker import Cluster
from models import default_model

NETWORK: Final = default_model().parent / "digits-cnn"
BAR: Final = 4 / 17
"""Of the default's rate: 4,000 images/s where that answers 17,000."""


async def measure(cluster: Cluster, images: list[bytes], *, rounds: int, console: Console) -> dict[str, Any]:
    """Answer a backlog with each model, in several rounds.

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
        ``default_per_s`` and ``network_per_s``, in images, ``share``, the median of the rounds' ratios and its ``bar``.
    """
    taken: list[tuple[float, float]] = []
    for number in range(1, rounds + 1):
        default, _ = await rate(cluster, images, {})
        network, _ = await rate(cluster, images, {"DIGITS_MODEL": str(NETWORK)})
        taken.append((default, network))
        console.print(f"network, round {number}: {network:,.0f}/s, {network / default:.0%} of {default:,.0f}/s")
    return {
        "images": len(images),
        "default_per_s": statistics.median(default for default, _ in taken),
        "network_per_s": statistics.median(network for _, network in taken),
        "share": statistics.median(network / default for default, network in taken),
        "bar": BAR,
    }
