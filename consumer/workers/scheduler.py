"""The fair scheduler: which jobs a free worker does next. Each lane has a queue.

*Shares.* The workers' processor time is shared among the lanes that want it, whatever their records cost: the lane that
has used least is served first, also where its job has ended a worker and is retried. A job that takes long comes back
unfinished after a slice, and waits in its queue again. While there are lanes with quick batches, one worker is kept
free for them: otherwise they would find all workers in the middle of a slow batch.

*Models.* While two crews have different models, a queue whose first job belongs to one of them waits for it.

*Progress.* `progressed_at_s` says when a lane last made progress:

1. While a worker has jobs of the lane, only the progress of that worker counts.
2. While all jobs of the lane wait here, progress for other lanes counts, too, since the jobs wait for just that; but
   only for `_longest_wait_s`. A lane that waits longer is stuck, however much the workers do for others.
3. While too many answers wait to be published, a lane that waits is not stuck: it waits for the brokers, or for
   another lane that is stuck, and a restart would not help it.

`_longest_wait_s` is how long a lane that has just been served may wait until it is served again. Before that, each
other lane is served until it has used as much time as this lane: twice, or once more for each `DEATH_COST_S` that the
last batch of this lane took. A batch ends with the first item after a slice, so it lasts an item's timeout and a slice
at most. One worker may have to do all of that, since another one is kept free for quick lanes. With an item timeout of
10 s, a slice of 0.5 s and three other lanes, a lane with quick batches may wait for 3 x 2 x 10.5 = 63 s.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consumer.settings import PacingSettings
from consumer.workers.crew import Crew
from consumer.workers.jobs import Batch, Job
from consumer.workers.tasks import SLICE_S

SLOW_BATCH_S: Final = 0.1
"""A lane whose last batch took more processor time than this is slow; 256 small digits take a tenth of it."""
DEATH_COST_S: Final = 2.0
"""What a batch that ends its worker costs its lane at most: each other lane is served so long before the retry."""
QUICK_QUEUE_S: Final = 1.0
"""For how long after its last batch a worker is kept free for a quick lane."""


@dataclass(slots=True, eq=False)
class _Queue:
    jobs: deque[Job] = field(default_factory=deque)
    used_s: float = 0.0
    """Processor time of workers that the lane has used; the least is served first."""
    batch_s: float = 0.0
    """Cost of the last batch, or half of the previous value if that is more."""
    served_at_s: float = float("-inf")
    begun_s: list[float] = field(default_factory=list)
    """When those batches began that workers have now: what they will cost is not known yet."""
    progressed_at_s: float = float("-inf")
    """When a job last came, was given to a worker, made progress there, or came back."""


class FairScheduler:
    """The jobs that wait for a worker. Owner: the workers' tasks; no method waits.

    Parameters
    ----------
    pacing
        How many records and bytes a batch has at most.
    clock
        Seconds, monotonic.
    """

    def __init__(self, pacing: PacingSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._pacing = pacing
        self._clock = clock
        self._queues: dict[int, _Queue] = {}
        self._slow_batches = 0
        self._used_s = 0.0
        self._any_progressed_at_s = self._output_fit_at_s = clock()

    def submit(self, job: Job) -> None:
        """Add a job at the end of its lane's queue; a retry, or one that has begun, goes before all others."""
        queue = self._queues.setdefault(job.lane, _Queue())
        if not queue.jobs:
            queue.used_s = max(queue.used_s, self._used_s)  # a lane cannot save up time while it has no jobs
            if not queue.begun_s:
                queue.progressed_at_s = self._clock()
        urgent = itertools.takewhile(lambda each: each.is_retry or each.has_begun, queue.jobs)
        queue.jobs.insert(len(list(urgent)) if job.is_retry or job.has_begun else len(queue.jobs), job)

    def requeue(self, jobs: list[Job]) -> None:
        """Put unfinished jobs back at the front of their queues."""
        for job in reversed(jobs):
            self._queues[job.lane].jobs.appendleft(job)

    def next_batch(self, crew: Crew, *, free: int, output_fits: bool = True) -> Batch | None:
        """Take what a worker is to do next; None if there is nothing for it.

        Parameters
        ----------
        crew
            The worker's.
        free
            Other workers of the crew that have nothing to do: jobs that could be joined are left to them.
        output_fits
            False if too many answers wait to be published: then only jobs that have begun continue, since the chunks
            in flight may wait for just these.
        """
        if not output_fits:
            self._output_fit_at_s = self._clock()
        queues = [queue for queue in self._waiting() if crew.takes(queue.jobs[0].claim)]
        # A crew that retires has no other jobs: if it did not take a slow one, no crew would.
        must_keep_one = not free and not crew.retires and self._slow_batches
        if must_keep_one and any(self._is_quick(queue) for queue in self._queues.values()):
            queues = [queue for queue in queues if queue.batch_s <= SLOW_BATCH_S]
        if not output_fits:
            queues = [queue for queue in queues if queue.jobs[0].has_begun or queue.jobs[0].is_retry]
        if not queues:
            return None
        first = queues[0]
        self._used_s = max(self._used_s, first.used_s)
        if first.batch_s > SLOW_BATCH_S:
            self._slow_batches += 1
            return self._begin(crew, [first.jobs.popleft()], slow=True)
        if free or not output_fits or first.jobs[0].is_retry:
            return self._begin(crew, [first.jobs.popleft()], slow=False)
        quick = [queue for queue in queues if queue.batch_s <= SLOW_BATCH_S]
        return self._begin(crew, self._join(crew, quick), slow=False)

    @property
    def has_jobs(self) -> bool:
        """True if jobs wait."""
        return any(queue.jobs for queue in self._queues.values())

    def note_progress(self, batch: Batch) -> None:
        """Note that a worker has begun this batch, or has moved on to another item of it."""
        self._any_progressed_at_s = self._clock()
        for job in batch.jobs:
            self._queues[job.lane].progressed_at_s = self._any_progressed_at_s

    def progressed_at_s(self, partition: int, item_timeout_s: float, *, output_fits: bool = True) -> float:
        """Return when a lane last made progress, see the head of this module; minus infinity if it never had a job.

        Parameters
        ----------
        partition
            Of the lane.
        item_timeout_s
            The longest that a worker may be on one item.
        output_fits
            As for `next_batch`.
        """
        queue = self._queues.get(partition)
        if queue is None:
            return float("-inf")
        if queue.begun_s or not queue.jobs:
            return queue.progressed_at_s
        if not output_fits:
            return self._clock()
        since_s = max(queue.progressed_at_s, self._output_fit_at_s)
        return max(since_s, min(self._any_progressed_at_s, since_s + self._longest_wait_s(queue, item_timeout_s)))

    def _longest_wait_s(self, queue: _Queue, item_timeout_s: float) -> float:
        """Return how long a lane may wait until it is served again, see the head of this module."""
        others = sum(1 for each in self._queues.values() if each is not queue and (each.jobs or each.begun_s))
        times_served = 2 + int(queue.batch_s / DEATH_COST_S)
        return others * times_served * (item_timeout_s + SLICE_S)

    def charge(self, batch: Batch, cost_s: float) -> None:
        """Charge the cost of a batch to its lanes, by their shares of its records. Before its answers are added."""
        self._slow_batches -= batch.slow
        self.note_progress(batch)
        records = max(1, sum(job.task.records for job in batch.jobs))
        for each in {job.lane for job in batch.jobs}:
            self._queues[each].begun_s.pop(0)
        for job in batch.jobs:
            queue = self._queues[job.lane]
            queue.used_s += cost_s * job.task.records / records
            queue.batch_s = max(cost_s, queue.batch_s / 2)
            queue.served_at_s = self._clock()

    def _waiting(self) -> list[_Queue]:
        """List the queues that have jobs; the lane that has used least comes first."""
        for queue in self._queues.values():
            while queue.jobs and queue.jobs[0].answered.cancelled():  # its lane has ended: the next owner repeats it
                queue.jobs.popleft()
        now_s = self._clock()
        return sorted(
            (queue for queue in self._queues.values() if queue.jobs),
            key=lambda queue: queue.used_s + sum(now_s - begun_s for begun_s in queue.begun_s),
        )

    def _begin(self, crew: Crew, jobs: list[Job], *, slow: bool) -> Batch:
        for job in jobs:
            crew.begin(job.claim)
        for each in {job.lane for job in jobs}:
            self._queues.setdefault(each, _Queue()).begun_s.append(self._clock())
        batch = Batch(jobs, slow)
        self.note_progress(batch)
        return batch

    def _is_quick(self, queue: _Queue) -> bool:
        return queue.batch_s <= SLOW_BATCH_S and self._clock() - queue.served_at_s < QUICK_QUEUE_S

    def _join(self, crew: Crew, queues: list[_Queue]) -> list[Job]:
        """Join jobs up to the size of a batch: what a batch costs is paid once."""
        jobs: list[Job] = []
        records = size_bytes = 0
        for queue in queues:
            while queue.jobs and not (job := queue.jobs[0]).is_retry and crew.takes(job.claim):
                records, size_bytes = records + job.task.records, size_bytes + job.task.size_bytes
                if jobs and (records > self._pacing.chunk_records or size_bytes > self._pacing.chunk_bytes):
                    return jobs
                if not queue.jobs.popleft().answered.cancelled():
                    jobs.append(job)
        return jobs
