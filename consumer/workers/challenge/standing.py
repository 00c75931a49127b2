"""Whether the challenger takes part: one that ends workers is left out, so that it costs the answers little."""

from __future__ import annotations

import dataclasses
from typing import Final

import structlog

from consumer.workers.processes.spec import WorkerSpec

log = structlog.get_logger()

MOST_DEATHS: Final = 3
"""A challenger that has ended this many workers is left out: one or two may have had a cause outside."""


class ChallengerStanding:
    """Decides whether fresh workers load the challenger. Owner: the workers' tasks.

    Parameters
    ----------
    problem
        Why it is left out from the beginning; empty if it is not, or if there is none.
    """

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        """Why it is left out; empty if it takes part, or if there is none."""
        self._deaths = 0

    def applied_to(self, spec: WorkerSpec, *, may_challenge: bool = True) -> WorkerSpec:
        """Return what a worker is started with."""
        return spec if may_challenge and not self.problem else dataclasses.replace(spec, challenger=None)

    def leave_out(self, why: str) -> None:
        """Load it in no more worker. Those that have it keep it as long as they run."""
        if not self.problem:
            log.error("challenger left out", why=why, action="serving without it")
            self.problem = why

    def note_death(self, why: str) -> None:
        """Note that a worker has ended by it; the last time, it is left out."""
        self._deaths += 1
        if self._deaths == MOST_DEATHS:
            self.leave_out(f"{MOST_DEATHS} workers have ended by it; the last time: {why}")
