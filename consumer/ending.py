"""How long each step of an orderly end may take, and their sum: what a supervisor has to wait before it kills.

A test compares the sum with the grace periods of docker-compose.yml and of the manifests.
"""

from __future__ import annotations

from typing import Final

from transport.shutdown import CANCEL_TIMEOUT_S, LEAVE_TIMEOUT_S, STOP_TIMEOUT_S

REVOKE_TIMEOUT_S: Final = 2.0
"""For transactions that have begun when a partition is revoked, or when the drain is over its deadline: the whole group
waits."""
FAREWELL_S: Final = 1.0
"""For idle workers to end. All are waited for at the same time."""
HEALTH_S: Final = 1.0
"""For requests that the health server still answers."""
FLUSH_S: Final = 3.0
"""For the last spans; a collector that is away must not hold the service."""


def longest_end_s(shutdown_timeout_s: float) -> float:
    """Return how long the service needs at most from SIGTERM to its end; the interpreter's own end comes on top.

    Parameters
    ----------
    shutdown_timeout_s
        As the setting: how long lanes may take to publish what they hold. When it is over, every step below may take
        its whole time only if brokers hang, the trace collector hangs, and workers are stuck on an item.
    """
    stop_producers_s = (STOP_TIMEOUT_S + CANCEL_TIMEOUT_S) + STOP_TIMEOUT_S + (STOP_TIMEOUT_S + CANCEL_TIMEOUT_S)
    leave_s = (LEAVE_TIMEOUT_S + CANCEL_TIMEOUT_S) + (LEAVE_TIMEOUT_S + CANCEL_TIMEOUT_S)
    return shutdown_timeout_s + REVOKE_TIMEOUT_S + stop_producers_s + leave_s + FAREWELL_S + HEALTH_S + FLUSH_S
