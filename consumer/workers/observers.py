"""The events of the worker pool: metrics and reports of faults subscribe to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consumer.workers.challenge.report import Challenged
from consumer.workers.processes.deaths import Suspect
from consumer.workers.tasks import Timings
from engine.model.files import ModelInfo

NOT_STARTED: Final = "not-started"
"""Why a worker was replaced, beside the error codes of those that died: it ended before it was ready."""

CHALLENGER: Final = "challenger"
"""As above: it ended while it read with the challenger, or did not stop that."""


class WorkerObserver:
    """Receives the events of all workers, in the event loop. An observer overrides the methods that it needs."""

    def batch_answered(self, timings: Timings) -> None:
        """Handle a batch that a worker has answered, or read in part."""

    def worker_replaced(self, why: str, suspect: Suspect | None = None) -> None:
        """Handle a worker that has ended, and that a fresh one replaces.

        Parameters
        ----------
        why
            An error code, `NOT_STARTED` or `CHALLENGER`.
        suspect
            What it was reading; None if that is not known.
        """

    def model_tried(self, end: str) -> None:
        """Handle an attempt to exchange the model.

        Parameters
        ----------
        end
            How it has ended: moved, refused or put-off; or, of a model that has moved, returned.
        """

    def challenged(self, report: Challenged, champion: ModelInfo, challenger: ModelInfo) -> None:
        """Handle what a worker has read with the challenger.

        Parameters
        ----------
        report
            What it has read.
        champion, challenger
            The two models: that of the published answers, and the other one.
        """


class WorkerObservers(WorkerObserver):
    """Passes each event on to several observers, in their order. Owner: the service."""

    def __init__(self, observers: Sequence[WorkerObserver]) -> None:
        self._observers = tuple(observers)

    def batch_answered(self, timings: Timings) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.batch_answered(timings)

    def worker_replaced(self, why: str, suspect: Suspect | None = None) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.worker_replaced(why, suspect)

    def model_tried(self, end: str) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.model_tried(end)

    def challenged(self, report: Challenged, champion: ModelInfo, challenger: ModelInfo) -> None:
        """Pass the event on."""
        for each in self._observers:
            each.challenged(report, champion, challenger)
