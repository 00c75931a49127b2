"""The HTTP server with the service, against the old design, on the same machine, one round after the other.

All of it shares the machine: clients, server, brokers and workers on one side, clients and server on the other. In each
round the old design is measured first, then ours, and only one of them runs at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import processes, report
from benchmarks.http import figures, requests
from benchmarks.http.load import Outcome, Plan, measure
from benchmarks.http.overload import measure_overload
from benchmarks.http.servers import Server, gateway, old_service
from broker import Cluster
from tests.harness.service import running_service
from tests.harness.topics import fresh_topics

CONCURRENCIES: Final = (1, 32, 256)
WARM_UP_S: Final = 3.0
BATCH_CONNECTIONS: Final = 1
"""Clients that send archives, one after the other: what counts is how long a client waits for a thousand images."""
ARCHIVES: Final = 5
"""Different ones."""


async def compare(
    cluster: Cluster, images: list[bytes], *, svc: Path, rounds: int, seconds: float, console: Console
) -> dict[str, Any]:
    """Measure both in several rounds, then ours at ten times the load that it can take.

    Parameters
    ----------
    cluster
        A running broker.
    images
        Sent one after the other, again and again.
    svc
        The old design's classifier.
    rounds
        Of which the median counts.
    seconds
        How long each is measured.
    console
        Shows the figures of each round.

    Returns
    -------
    dict
        ``loads``: medians of the rounds, by concurrency and for ``batch`` (in images): ``old`` and ``ours`` with rates
        and times, and with ``cpu_us``, the processor time of an image in each part; and ``times``, the ratio of the
        rates. ``overload`` of the last round, and ``rounds``.
    """
    taken: list[dict[str, Any]] = []
    overloaded: dict[str, float] = {}
    with (
        requests.kept(requests.single(images)) as single,
        requests.kept(requests.archives(images, ARCHIVES)) as zips,
    ):
        for number in range(1, rounds + 1):
            async with old_service(svc) as server:
                old = await _figures(server, single, zips, seconds)
                console.print(f"http, round {number}, old: {figures.rates(old)}")
            async with _ours(cluster) as server:
                ours = await _figures(server, single, zips, seconds)
                console.print(f"http, round {number}, ours: {figures.rates(ours)}")
                if number == rounds:
                    before = ours[str(max(CONCURRENCIES))]
                    overloaded = await measure_overload(server, single, before=before, seconds=seconds)
            taken.append({what: _compared(old[what], ours[what]) for what in old})
    console.print(f"http, overload: {figures.overload_line(overloaded)}")
    return {"loads": report.medians(taken), "overload": overloaded, "rounds": taken}


@contextlib.asynccontextmanager
async def _ours(cluster: Cluster) -> AsyncIterator[Server]:
    async with (
        fresh_topics(cluster) as broker,
        running_service(broker, workers=None) as service,
        gateway(broker) as server,
    ):
        server.parts |= processes.parts_of(cluster, service)
        yield server


async def _figures(server: Server, single: str, archive: str, seconds: float) -> dict[str, dict[str, Any]]:
    """Return the figures of one server by what was sent: the concurrency, or ``batch``."""
    measured = {}
    for connections in CONCURRENCIES:
        plan = Plan(server.port, single, connections, seconds, WARM_UP_S)
        measured[str(connections)] = await _measured(server, plan)
    plan = Plan(server.port, archive, BATCH_CONNECTIONS, seconds, WARM_UP_S, marks=requests.ARCHIVE_IMAGES)
    return measured | {figures.BATCH: await _measured(server, plan)}


async def _measured(server: Server, plan: Plan) -> dict[str, Any]:
    """Send a load, and return its figures: rates and processor time are those of images."""
    before = server.cpu_s()
    outcome = await measure(plan)
    spent_s = {name: spent - before[name] for name, spent in server.cpu_s().items()}
    images = outcome.served * plan.marks
    found = _checked(outcome)
    return found | {
        "per_s": found["per_s"] * plan.marks,
        "cpu_us": {name: spent / images * 1e6 for name, spent in spent_s.items()},
    }


def _checked(outcome: Outcome) -> dict[str, float]:
    """Return the figures of a load that a server can take."""
    if outcome.wrong or outcome.broken or outcome.others or not outcome.answered.count:
        raise RuntimeError(f"a server did not answer as it should: {outcome}")
    times = outcome.answered
    return {
        "per_s": outcome.per_s,
        "p50_ms": times.p50_ms,
        "p99_ms": times.p99_ms,
        "max_ms": times.max_ms,
        "refused": outcome.refused.count,
        "own_cpu_percent": outcome.own_cpu_percent,
    }


def _compared(old: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    return {"old": old, "ours": ours, "times": ours["per_s"] / old["per_s"]}
