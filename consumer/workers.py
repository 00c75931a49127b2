"""The workers: a queue of batches, and the processes that serve it.

A free worker takes the batch in front, and those behind it that fit beside: what a batch costs is paid once. Every
worker has a socket of its own, so that one that is killed in the middle of a frame leaves the others untouched, and
its end is an end-of-file at once. (Pools whose workers share a pipe cannot promise this: `pebble` 5.2 breaks as a whole
when an idle worker is killed, the standard library's when any is.)
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final, NamedTuple

import structlog

from consumer.channel import Answer, Ready, Task
from consumer.errors import Fatal
from consumer.metrics import Metrics
from consumer.process import WorkerDied, WorkerNotStarted, WorkerProcess, WorkerSpec
from consumer.settings import PacingSettings
from contract.errors import ErrorCode

log = structlog.get_logger()

FAILED_STARTS: Final = 3
"""Fresh workers in a row that may fail to start before the service gives up."""
AGAIN: Final = 0
FIRST_TIME: Final = 1
"""Ranks of a batch: repetitions go first, since their lanes have waited for long."""


class _Job(NamedTuple):
    """A batch in the queue."""

    rank: int
    number: int
    tasks: list[Task]
    answers: asyncio.Future[list[Answer]]

    def size_bytes(self) -> int:
        return sum(len(task.payload) for task in self.tasks)


class Workers:
    """All worker processes. Owner: the task ``workers``; each belongs to a task ``worker N``.

    `Pool` submits; health reads `running`, `model` and `progressed_at_s`, nothing else.
    """

    def __init__(self, spec: WorkerSpec, pacing: PacingSettings, *, count: int, metrics: Metrics) -> None:
        self._spec = spec
        self._pacing = pacing
        self._count = count
        self._metrics = metrics
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._all_ready = asyncio.Event()
        self.running = 0
        self.model: Ready | None = None
        self.progressed_at_s = time.monotonic()

    async def ready(self) -> None:
        """Wait until all workers have started, with `model` loaded."""
        await self._all_ready.wait()

    async def run(self) -> None:
        """Keep the workers running until cancelled.

        Raises
        ------
        Fatal
            They do not start: a fault of the service, not of the records.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._keep_worker(number), name=f"worker {number}")

    async def submit(self, tasks: list[Task], rank: int) -> list[Answer]:
        """Have a batch answered, in order. A cancelled caller's batch is dropped, unless a worker has it.

        Raises
        ------
        WorkerDied
            While it had this batch, or one that it had taken together with it.
        """
        job = _Job(rank, next(self._numbers), tasks, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.answers

    async def _keep_worker(self, number: int) -> None:
        failed_starts = 0
        while True:
            try:
                async with WorkerProcess.started(self._spec) as (worker, ready):
                    failed_starts = 0
                    await self._serve(worker, ready)
            except WorkerDied as death:
                log.warning("worker died", worker=number, why=str(death), then="a fresh one takes its place")
            except WorkerNotStarted as error:
                failed_starts += 1
                log.warning("worker not started", worker=number, why=str(error), attempt=failed_starts)
                if failed_starts == FAILED_STARTS:
                    raise Fatal(f"worker processes do not start: {error}") from error
            self._metrics.pool_restarts.inc()

    async def _serve(self, worker: WorkerProcess, ready: Ready) -> None:
        self.running += 1
        self.model = ready
        if self.running == self._count:
            self._all_ready.set()
        try:
            while True:
                jobs = self._joined(await self._next_job(worker))
                if not jobs:
                    continue
                try:
                    answers = await worker.answer([task for job in jobs for task in job.tasks], self._progressed)
                except WorkerDied as death:
                    _fail(jobs, death)
                    raise
                self._progressed()
                self._metrics.observe_worker(answers.timings)
                _hand_over(jobs, answers.answers)
        finally:
            self.running -= 1

    def _joined(self, first: _Job) -> list[_Job]:
        """Join the jobs in front of the queue, up to the size of a batch: what a batch costs is paid once.

        A repetition stays alone, since it is under suspicion.
        """
        jobs = [first]
        records, size_bytes = len(first.tasks), first.size_bytes()
        while first.rank == FIRST_TIME and not self._jobs.empty():
            job = self._jobs.get_nowait()
            records, size_bytes = records + len(job.tasks), size_bytes + job.size_bytes()
            if job.rank != FIRST_TIME or records > self._pacing.chunk_records or size_bytes > self._pacing.chunk_bytes:
                self._jobs.put_nowait(job)  # back to its place: ranks and numbers order the queue
                break
            jobs.append(job)
        return [job for job in jobs if not job.answers.cancelled()]  # a lane has ended: its next owner classifies these

    async def _next_job(self, worker: WorkerProcess) -> _Job:
        if not self._jobs.empty():
            return self._jobs.get_nowait()
        job = asyncio.ensure_future(self._jobs.get())
        ended = asyncio.ensure_future(worker.ended_idle())
        try:
            await asyncio.wait({job, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise WorkerDied("a worker ended while it had nothing to do", ErrorCode.WORKER_CRASHED, None)
            return job.result()
        finally:
            job.cancel()
            ended.cancel()
            await asyncio.wait({ended})  # the channel has one reader at a time

    def _progressed(self) -> None:
        self.progressed_at_s = time.monotonic()


def _fail(jobs: list[_Job], death: WorkerDied) -> None:
    """Tell each job of a batch that its worker has died, and the one concerned on which of its records."""
    begin = 0
    for job in jobs:
        if not job.answers.done():
            job.answers.set_exception(death.seen_by(begin, len(job.tasks)))
        begin += len(job.tasks)


def _hand_over(jobs: list[_Job], answers: list[Answer]) -> None:
    """Give each job of a batch its own answers.

    Raises
    ------
    Fatal
        There are not as many answers as tasks.
    """
    expected = sum(len(job.tasks) for job in jobs)
    if len(answers) != expected:
        raise Fatal(f"{expected} records went to a worker, {len(answers)} answers came back")
    begin = 0
    for job in jobs:
        if not job.answers.done():
            job.answers.set_result(answers[begin : begin + len(job.tasks)])
        begin += len(job.tasks)
