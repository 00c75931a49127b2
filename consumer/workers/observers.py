"""The events of the worker pool: metrics subscribe to them."""

from __future__ import annotations

from typing import Final

from consumer.workers.tasks import Timings

NOT_STARTED: Final = "not-started"
"""Why a worker was replaced, beside the error codes of those that died: it ended before it was ready."""


class WorkerObserver:
    """Receives the events of all workers, in the event loop. An observer overrides the methods that it needs."""

    def batch_answered(self, timings: Timings) -> None:
        """Handle a batch that a worker has answered, or read in part."""

    def worker_replaced(self, why: str) -> None:
        """Handle a worker that has ended, and that a fresh one replaces: an error code, or `NOT_STARTED`."""
