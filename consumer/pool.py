"""The pool: worker processes of which each may die alone.

Every worker has a socket of its own, so that one that is killed in the middle of a frame leaves the
others untouched, and its end is an end-of-file at once. (A pool whose workers share a pipe cannot
promise this: `pebble` 5.2 breaks as a whole when an idle worker is killed, the standard library's
when any is.)

A batch that ends its worker is not lost. The record that the worker had noted is suspected and goes to
another worker alone, the rest goes on without it; only an item that ends a worker a second time, or that
holds one for the item timeout, is condemned: it is left out and answered as failed.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final, NamedTuple

import msgspec
import structlog

from consumer.channel import WHOLE_RECORD, Answer, Ready, Task
from consumer.errors import Fatal
from consumer.metrics import Metrics
from consumer.process import WorkerDied, WorkerNotStarted, WorkerProcess, WorkerSpec
from consumer.settings import PacingSettings
from contract.errors import ErrorCode

log = structlog.get_logger()

FAILED_STARTS: Final = 3
"""Fresh workers in a row that may fail to start before the service gives up."""
CONDEMNED_PER_RECORD: Final = 3
"""Items of one record that may be condemned; with the next one the whole record is."""

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


class Pool:
    """All worker processes. Owner: the task ``pool``; each worker belongs to a task ``worker N``.

    Lanes call `classify`; health reads `running`, `model` and `progressed_at_s`, nothing else.
    """

    def __init__(
        self, spec: WorkerSpec, pacing: PacingSettings, *, workers: int, service_faults: int, metrics: Metrics
    ) -> None:
        self._spec = spec
        self._pacing = pacing
        self._workers = workers
        self._service_faults = service_faults
        self._metrics = metrics
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._faults_in_a_row = 0
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
            Workers do not start: a fault of the service, not of the records.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._keep_worker(number), name=f"worker {number}")

    async def classify(self, tasks: list[Task]) -> list[Answer]:
        """Answer every task, in order. A cancelled caller's batch is dropped, unless a worker has it.

        Raises
        ------
        Fatal
            Workers die on everything: a fault of the service, not of the records.
        """
        return await self._classify(tasks, FIRST_TIME)

    async def _classify(self, tasks: list[Task], rank: int) -> list[Answer]:
        try:
            return await self._submit(tasks, rank)
        except WorkerDied as death:
            if death.position is None:
                if not death.bystander:
                    self._count_fault(str(death))
                return await self._classify(tasks, AGAIN)
            suspect = death.position[0]
            rest = tasks[:suspect] + tasks[suspect + 1 :]
            async with asyncio.TaskGroup() as group:
                alone = group.create_task(self._classify_suspect(tasks[suspect], death))
                others = group.create_task(self._classify(rest, AGAIN)) if rest else None
            answers = others.result() if others else []
            return [*answers[:suspect], alone.result(), *answers[suspect:]]

    async def _classify_suspect(self, task: Task, death: WorkerDied) -> Answer:
        suspected: set[int] = set()
        while True:
            # A worker may also be killed from outside, and its item be innocent: that takes two deaths to
            # tell. A worker that does not move for the whole timeout has only its item to blame.
            if death.position is None:
                self._count_fault(str(death))
            elif death.code is ErrorCode.WORKER_TIMEOUT or death.position[1] in suspected:
                task = self._condemn(task, death.position[1], death)
            else:
                suspected.add(death.position[1])
            try:
                return (await self._submit([task], AGAIN))[0]
            except WorkerDied as again:
                death = again

    def _condemn(self, task: Task, item: int, death: WorkerDied) -> Task:
        if not task.condemned:
            self._count_fault(str(death))  # once a record, however much poison it holds
        if item in task.condemned or len(task.condemned) == CONDEMNED_PER_RECORD:
            item = WHOLE_RECORD
        log.warning(
            "item condemned",
            partition=f"{task.topic}/{task.partition}",
            offset=task.offset,
            item="all" if item == WHOLE_RECORD else item,
            code=death.code,
            then="it is answered as failed, its bytes go to the dead-letter topic",
        )
        return msgspec.structs.replace(task, condemned=task.condemned | {item: str(death.code)})

    async def _submit(self, tasks: list[Task], rank: int) -> list[Answer]:
        job = _Job(rank, next(self._numbers), tasks, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        answers = await job.answers
        self._judge(tasks, answers)
        return answers

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
        if self.running == self._workers:
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

    def _judge(self, tasks: list[Task], answers: list[Answer]) -> None:
        """Tell poison from a fault of the service: poison is rare, and different records come through."""
        for task, answer in zip(tasks, answers, strict=True):
            internal = sum(letter.code == ErrorCode.INTERNAL_ERROR for letter in answer.dead_letters)
            if internal == len(answer.results):
                self._count_fault("internal errors")
            elif len(answer.results) > len(task.condemned):
                self._faults_in_a_row = 0

    def _count_fault(self, what: str) -> None:
        self._faults_in_a_row += 1
        if self._faults_in_a_row >= self._service_faults:
            raise Fatal(
                f"{self._faults_in_a_row} records in a row failed alone (last: {what}); "
                "so the service is at fault, not the records: nothing of them is committed"
            )


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
