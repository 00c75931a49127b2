"""Jobs: the tasks that wait for a worker, and the batches in which workers do them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer.workers.crew import Claim
from consumer.workers.processes.deaths import Suspect, WorkerDied
from consumer.workers.tasks import Answer, Answers, Part, Task


class Answered(NamedTuple):
    """What workers have finished of a task."""

    parts: list[Part]
    rest: Task | None
    """What is left of the task after these parts; None if nothing is."""


@dataclass(slots=True, eq=False)
class Job:
    """A task of one lane, and what is answered of it so far. Owner: the workers' tasks, one at a time.

    It is answered at the end of a slice. Only if that is in the middle of a record, it is given to a worker again.
    """

    task: Task
    answered: asyncio.Future[Answered]
    is_retry: bool
    """True if the job has ended a worker: it goes before others of its lane, and alone."""
    has_begun: bool = False
    """True if a worker has had it, or what was before it in its chunk: it goes before those that have not begun."""
    claim: Claim = field(default_factory=Claim)
    """Which crew has begun the task that it is, or is a part of."""
    _parts: list[Part] = field(default_factory=list)

    @property
    def lane(self) -> int:
        """The partition."""
        return self.task.partition

    def add(self, answer: Answer) -> bool:
        """Add the answer of a slice; return whether the job is answered now."""
        first, *others = answer.parts
        if self._parts:  # the last one is incomplete
            first = self._parts.pop().followed_by(first)
        self._parts += first, *others
        stop = answer.stopped
        rest = None if stop is None else self.task.resumed(stop)
        if rest is not None and rest.resume_from.items:
            self.task, self.has_begun = rest, True
            return False
        if not self.answered.done():
            self.answered.set_result(Answered(self._parts, rest))
        return True

    def holds(self, suspect: Suspect | None) -> bool:
        """Return True if the item on which a worker ended is one of this job's."""
        return (
            suspect is not None
            and self.lane == suspect.partition
            and self.task.first_offset <= suspect.offset < self.task.next_offset
        )

    def fail(self, death: WorkerDied) -> None:
        """Report to the caller that the worker has died that had the rest of this job."""
        if not self.answered.done():
            self.answered.set_exception(death)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that one worker does together."""

    jobs: list[Job]
    slow: bool

    @property
    def tasks(self) -> list[Task]:
        """A task for each job."""
        return [job.task for job in self.jobs]

    def add(self, answers: Answers) -> list[Job]:
        """Give each job its own answer; return those that a worker has to go on with."""
        answered = len(answers.answers)
        begun = [job for job, answer in zip(self.jobs, answers.answers, strict=False) if not job.add(answer)]
        return begun + self.jobs[answered:]

    def fail(self, death: WorkerDied) -> None:
        """Report a worker's death to the callers of the jobs that it had.

        The job that holds the suspect gets the death as it is, the others as bystanders. Where no item is suspected,
        one death is still one fault, however many jobs shared the worker: only the first job gets it as the cause.
        """
        for number, job in enumerate(self.jobs):
            is_concerned = number == 0 if death.suspect is None else job.holds(death.suspect)
            job.fail(death if is_concerned else death.for_bystander())
