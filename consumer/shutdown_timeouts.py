"""How long each step of a shutdown may take, and the sum: the grace period that a supervisor must allow.

A test compares the sum with the grace periods in docker-compose.yml and in the manifests.
"""

from __future__ import annotations

from typing import Final

from transport.reports.opening import REPORT_FLUSH_TIMEOUT_S
from transport.shutdown import CANCEL_TIMEOUT_S, LEAVE_TIMEOUT_S, STOP_TIMEOUT_S
from transport.sink.producer import END_AT_ONCE_S

REVOKE_TIMEOUT_S: Final = 2.0
"""For open transactions to end when a partition is revoked, or after the shutdown timeout. It is short since the whole
group waits for it."""
WORKER_EXIT_TIMEOUT_S: Final = 1.0
"""For idle workers to end. The service waits for all workers at the same time."""
HEALTH_SERVER_TIMEOUT_S: Final = 1.0
"""For the health server to answer requests that it has already received."""
TRACE_FLUSH_TIMEOUT_S: Final = 3.0
"""For sending the last spans. An unreachable collector must not delay the shutdown longer."""


def max_shutdown_s(shutdown_timeout_s: float) -> float:
    """Return the longest time, in seconds, from SIGTERM to the end of the service, without the interpreter's own exit.

    Parameters
    ----------
    shutdown_timeout_s
        The setting: how long lanes may take to publish what is in flight. The steps after it all take their full time
        only if brokers hang, the trace collector and Sentry hang, and workers are stuck on an item.
    """
    stop_producers_s = END_AT_ONCE_S + (STOP_TIMEOUT_S + CANCEL_TIMEOUT_S) * 2 + STOP_TIMEOUT_S
    leave_s = (LEAVE_TIMEOUT_S + CANCEL_TIMEOUT_S) + (LEAVE_TIMEOUT_S + CANCEL_TIMEOUT_S)
    others_s = WORKER_EXIT_TIMEOUT_S + HEALTH_SERVER_TIMEOUT_S + TRACE_FLUSH_TIMEOUT_S + REPORT_FLUSH_TIMEOUT_S
    return shutdown_timeout_s + REVOKE_TIMEOUT_S + stop_producers_s + leave_s + others_s
