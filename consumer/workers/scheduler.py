"""Whose turn it is: the batches that wait for a worker, by lane.

The workers' processor time is shared among the lanes that want it, whatever their records cost: the lane that has had
least goes first, also where its batch has ended a worker and is to be repeated. A batch that takes long comes back
unfinished after a slice, and waits for its lane's next turn. While lanes with quick batches are about, one worker is
left to them: they would otherwise find all workers in the middle of a slow one.

Whether a lane moves is judged by `moved_at_s`. While a worker has something of it, only what that worker does counts.
While all of it waits here, it counts that the workers get on with the others, for that is what it waits for; but not
for ever. Between two turns of a lane every other one may use as much as this lane had used in its last turn, and is
served once or twice more. A turn ends with the first item after a slice, and an item ends after its timeout. It counts
at least `DEATH_S`, if it takes so long. With one worker for all of them, since another one is left to quick lanes, that
makes `_longest_wait_s`. What waits for longer is not served as it should be: it is stuck, however much the workers do
for others. Where there are too many answers already, nothing new is begun until they are published: that is a wait for
the brokers, or another lane is stuck, and a restart would not mend the lane that waits for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from consumer.settings import PacingSettings
from consumer.workers.process import WorkerDied
from consumer.workers.protocol import SLICE_S, Answer, Task
from engine.resume_cursor import ResumeCursor

LONG_S: Final = 0.1
"""A lane whose last batch took more processor time is slow: 256 small digits take a tenth of that."""
DEATH_S: Final = 2.0
"""What a batch that ends its worker counts as at most: others are served before it is tried again, for so long each."""
QUICK_S: Final = 1.0
"""So long after its last batch a quick lane still keeps a worker free."""


@dataclass(slots=True, eq=False)
class Job:
    """A batch of one lane, and as much of its answers as there is. Owner: the workers' tasks, one at a time."""

    tasks: list[Task]
    answers: asyncio.Future[list[Answer]]
    again: bool
    """True if the batch has ended a worker: it goes before others of its lane, and alone."""
    _done: list[Answer] = field(default_factory=list)
    _begun: Answer | None = None
    _rest: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        self._rest = self.tasks

    @property
    def lane(self) -> int:
        """The partition."""
        return self.tasks[0].partition

    @property
    def rest(self) -> list[Task]:
        """Tasks that have no whole answer yet."""
        return self._rest

    @property
    def has_begun(self) -> bool:
        """True if a worker has had it, and it came back unfinished."""
        return bool(self._done) or self._begun is not None

    @property
    def size_bytes(self) -> int:
        """Bytes that go to the worker."""
        return sum(len(task.payload) for task in self._rest)

    def take(self, answers: list[Answer], unfinished: ResumeCursor | None) -> None:
        """Add the answers of a slice; when there is one for each task, the job is answered."""
        first, *others = answers
        self._done += [first if self._begun is None else self._begun.followed_by(first), *others]
        self._begun = None if unfinished is None else self._done.pop()
        self._rest = self.tasks[len(self._done) :]
        if unfinished is not None:
            self._rest[0] = msgspec.structs.replace(self._rest[0], begin=unfinished)
        if not self._rest and not self.answers.done():
            self.answers.set_result(self._done)

    def fail(self, death: WorkerDied, begin: int) -> None:
        """Tell whoever waits that the worker has died that had the rest of this job, from its task `begin` on."""
        if not self.answers.done():
            self.answers.set_exception(death.seen_by(begin, len(self._rest), len(self._done)))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that a worker does at once."""

    jobs: list[Job]
    slow: bool

    @property
    def tasks(self) -> list[Task]:
        """All that is left to do of them."""
        return [task for job in self.jobs for task in job.rest]


@dataclass(slots=True, eq=False)
class _Lane:
    jobs: deque[Job] = field(default_factory=deque)
    used_s: float = 0.0
    """Of workers' processor time, as it counts for whose turn it is."""
    batch_s: float = 0.0
    """What its last batches cost; a quick one halves it."""
    served_at_s: float = float("-inf")
    begun_s: list[float] = field(default_factory=list)
    """When the batches began that are in workers' hands: what they will have cost is not known yet."""
    moved_at_s: float = float("-inf")
    """When it last came, was taken, was seen to get on in a worker's hands, or came back from there."""


class FairScheduler:
    """Jobs that wait. Owner: the workers' tasks; nothing here waits."""

    def __init__(self, pacing: PacingSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._pacing = pacing
        self._clock = clock
        self._lanes: dict[int, _Lane] = {}
        self._slow_batches = 0
        self._used_s = 0.0
        self._any_moved_at_s = self._fit_at_s = clock()

    def put(self, job: Job) -> None:
        """Let a new job wait, behind those of its lane; a repetition before all that are none."""
        lane = self._lanes.setdefault(job.lane, _Lane())
        if not lane.jobs:
            lane.used_s = max(lane.used_s, self._used_s)  # what it has not used while it was away is gone
            if not lane.begun_s:
                lane.moved_at_s = self._clock()
        before = len(list(itertools.takewhile(lambda each: each.again, lane.jobs))) if job.again else len(lane.jobs)
        lane.jobs.insert(before, job)

    def put_back(self, jobs: list[Job]) -> None:
        """Let jobs that are not finished wait for their lanes' next turns, in front."""
        for job in reversed(jobs):
            self._lanes[job.lane].jobs.appendleft(job)

    def take(self, *, free: int, fit: bool = True) -> Batch | None:
        """Take what a worker is to do next; None if it is nobody's turn.

        Parameters
        ----------
        free
            Other workers that have nothing to do: what could be joined is left to them.
        fit
            False if there are too many answers already: then only what has been begun goes on, since the answers
            in hand may wait for just that.
        """
        if not fit:
            self._fit_at_s = self._clock()
        lanes = self._waiting()
        if not free and self._slow_batches and any(self._is_quick(lane) for lane in self._lanes.values()):
            lanes = [lane for lane in lanes if lane.batch_s <= LONG_S]
        if not fit:
            lanes = [lane for lane in lanes if lane.jobs[0].has_begun or lane.jobs[0].again]
        if not lanes:
            return None
        first = lanes[0]
        self._used_s = max(self._used_s, first.used_s)
        if first.batch_s > LONG_S:
            self._slow_batches += 1
            return self._begun([first.jobs.popleft()], slow=True)
        if free or not fit or first.jobs[0].again:
            return self._begun([first.jobs.popleft()], slow=False)
        return self._begun(self._joined([lane for lane in lanes if lane.batch_s <= LONG_S]), slow=False)

    @property
    def are_wanted(self) -> bool:
        """True if jobs wait."""
        return any(lane.jobs for lane in self._lanes.values())

    def moves(self, batch: Batch) -> None:
        """Note that a worker has begun this batch, or has got on with it."""
        self._any_moved_at_s = self._clock()
        for job in batch.jobs:
            self._lanes[job.lane].moved_at_s = self._any_moved_at_s

    def moved_at_s(self, partition: int, item_timeout_s: float, *, fit: bool = True) -> float:
        """When a lane last moved, as the head of this module has it; minus infinity if it never came.

        Parameters
        ----------
        partition
            Whose lane.
        item_timeout_s
            The longest that a worker may be on one item.
        fit
            As for `take`.
        """
        lane = self._lanes.get(partition)
        if lane is None:
            return float("-inf")
        if lane.begun_s or not lane.jobs:
            return lane.moved_at_s
        if not fit:
            return self._clock()
        since_s = max(lane.moved_at_s, self._fit_at_s)
        return max(since_s, min(self._any_moved_at_s, since_s + self._longest_wait_s(lane, item_timeout_s)))

    def _longest_wait_s(self, lane: _Lane, item_timeout_s: float) -> float:
        """Between two turns of a lane, if those that have jobs now go on to have some; see the head of this module."""
        others = sum(1 for each in self._lanes.values() if each is not lane and (each.jobs or each.begun_s))
        turns_of_each = 2 + int(lane.batch_s / DEATH_S)
        return others * turns_of_each * (item_timeout_s + SLICE_S)

    def settle(self, batch: Batch, cost_s: float) -> None:
        """Put what a batch has cost down to its lanes, by their shares of its records. Before its answers are taken."""
        self._slow_batches -= batch.slow
        self.moves(batch)
        records = sum(len(job.rest) for job in batch.jobs)
        for each in {job.lane for job in batch.jobs}:
            self._lanes[each].begun_s.pop(0)
        for job in batch.jobs:
            lane = self._lanes[job.lane]
            lane.used_s += cost_s * len(job.rest) / records
            lane.batch_s = max(cost_s, lane.batch_s / 2)
            lane.served_at_s = self._clock()

    def _waiting(self) -> list[_Lane]:
        """List the lanes that have jobs, in the order of their turns."""
        for lane in self._lanes.values():
            while lane.jobs and lane.jobs[0].answers.cancelled():  # it has ended: its next owner classifies these
                lane.jobs.popleft()
        now_s = self._clock()
        return sorted(
            (lane for lane in self._lanes.values() if lane.jobs),
            key=lambda lane: lane.used_s + sum(now_s - begun_s for begun_s in lane.begun_s),
        )

    def _begun(self, jobs: list[Job], *, slow: bool) -> Batch:
        for each in {job.lane for job in jobs}:
            self._lanes.setdefault(each, _Lane()).begun_s.append(self._clock())
        batch = Batch(jobs, slow)
        self.moves(batch)
        return batch

    def _is_quick(self, lane: _Lane) -> bool:
        return lane.batch_s <= LONG_S and self._clock() - lane.served_at_s < QUICK_S

    def _joined(self, lanes: list[_Lane]) -> list[Job]:
        """Join jobs up to the size of a batch: what a batch costs is paid once."""
        jobs: list[Job] = []
        records = size_bytes = 0
        for lane in lanes:
            while lane.jobs and not (job := lane.jobs[0]).again:
                records, size_bytes = records + len(job.rest), size_bytes + job.size_bytes
                if jobs and (records > self._pacing.chunk_records or size_bytes > self._pacing.chunk_bytes):
                    return jobs
                if not lane.jobs.popleft().answers.cancelled():
                    jobs.append(job)
        return jobs
