"""A crew: the workers that have the same model. While the model is exchanged, there are two.

The crew whose worker begins a task also ends it, however often it is repeated, and continued after a slice. Tasks that
no worker has begun go to the new crew as soon as there is one. Since the tasks of a lane begin in the order of their
offsets, what a lane publishes is first the old model's and then the new one's, and never the old one's again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.tally import Tally


@dataclass(slots=True, eq=False)
class Crew:
    """The workers of one model. Owner: the workers' tasks; `WorkerPool.exchange` lets it serve, and retires it."""

    spec: WorkerSpec
    tally: Tally = field(default_factory=Tally)
    """Of what its model has answered."""
    may_serve: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from the beginning, or when the crew takes over from another one."""
    retires: bool = False
    """True when another crew has taken over: it only ends what it has begun."""
    idle: int = 0
    """Workers that wait for a batch."""
    begun: int = 0
    """Tasks that it has begun, and that have not ended."""
    keeping: list[asyncio.Task[None]] = field(default_factory=list)
    """The tasks of its workers."""

    @property
    def is_over(self) -> bool:
        """True if it has nothing to do any more, and will not have."""
        return self.retires and not self.begun

    def takes(self, claim: Claim) -> bool:
        """Return whether its workers may do a task."""
        return not self.retires if claim.crew is None else claim.crew is self

    def begin(self, claim: Claim) -> None:
        """Note that one of its workers begins a task, or goes on with it."""
        if claim.crew is None:
            claim.crew = self
            self.begun += 1


@dataclass(slots=True, eq=False)
class Claim:
    """Which crew has begun a task; None as long as it waits. Owner: the workers' tasks."""

    crew: Crew | None = None

    def end(self) -> None:
        """Note that the task has ended, or is not wanted any more."""
        if self.crew is not None:
            self.crew.begun -= 1
            self.crew = None
