"""What the HTTP server does at ten times the load that it can take: it refuses at once, and answers what it accepts.

Requests go out on a timetable, whether others are answered or not. The rate that it can take is that of the closed load
with the most connections, which is measured just before; the times of that load are those without overload.
"""

from __future__ import annotations

from typing import Final

from benchmarks import processes
from benchmarks.http.load import Outcome, Plan, measure
from benchmarks.http.servers import Server

TIMES: Final = 10
CONNECTIONS: Final = 1_500
"""Below the server's limit of connections: above it, connections are closed, and not answered."""
WARM_UP_S: Final = 3.0


async def measure_overload(
    server: Server, requests_file: str, *, before: dict[str, float], seconds: float
) -> dict[str, float]:
    """Send ten times the rate that the server can take.

    Parameters
    ----------
    server
        The gateway, which has nothing else to do.
    requests_file
        What to send.
    before
        Its figures at the load that it can take.
    seconds
        How long.

    Returns
    -------
    dict
        Rates per second, times in ms, memory of the gateway in MB (PSS), and `own_cpu_percent` of the load generator:
        if it is near 100, the times are its own.
    """
    offered_per_s = TIMES * before["per_s"]
    before_mb = processes.memory_bytes("Pss", server.process.pid) / 1e6
    async with processes.peak_memory(server.process.pid) as peak:
        plan = Plan(server.port, requests_file, CONNECTIONS, seconds, WARM_UP_S, rate=offered_per_s)
        outcome = await measure(plan)
        figures = _checked(outcome)
        peak.look()
    return figures | {
        "before_p99_ms": before["p99_ms"],
        "offered_per_s": offered_per_s,
        "sent_per_s": (outcome.answered.count + outcome.refused.count) / seconds,
        "refused_per_s": outcome.refused.count / seconds,
        "memory_before_mb": before_mb,
        "memory_peak_mb": peak.pss_bytes / 1e6,
    }


def _checked(outcome: Outcome) -> dict[str, float]:
    if outcome.wrong or outcome.broken or outcome.others:
        raise RuntimeError(f"at ten times its load the server did not answer as it should: {outcome}")
    return {
        "answered_per_s": outcome.per_s,
        "answered_p50_ms": outcome.answered.p50_ms,
        "answered_p99_ms": outcome.answered.p99_ms,
        "refused": outcome.refused.count,
        "refused_p50_ms": outcome.refused.p50_ms,
        "refused_p99_ms": outcome.refused.p99_ms,
        "refused_max_ms": outcome.refused.max_ms,
        "unsent": outcome.unsent,
        "own_cpu_percent": outcome.own_cpu_percent,
    }
