"""The worker pool: the processes that do the batches of `consumer.workers.scheduler`.

Every worker has a socket of its own, so that one that is killed in the middle of a frame leaves the others untouched,
and its end is an end-of-file at once. (Pools whose workers share a pipe cannot promise this: `pebble` 5.2 breaks as a
whole when an idle worker is killed, the standard library's when any is.)
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from consumer.memory_budget import MemoryBudget
from consumer.settings import PacingSettings
from consumer.workers.jobs import Answered, Batch, Job
from consumer.workers.observers import NOT_STARTED, WorkerObserver
from consumer.workers.processes.deaths import WorkerDied, WorkerNotStarted
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.protocol import Compiling
from consumer.workers.scheduler import DEATH_COST_S, QUICK_QUEUE_S, FairScheduler
from consumer.workers.tasks import Answers, Task
from contract.errors import ErrorCode
from transport.errors import FatalError

log = structlog.get_logger()

FAILED_STARTS: Final = 3
"""Fresh workers in a row that may fail to start before the service gives up."""
START_PAUSE_S: Final = 0.5
"""After a failed start: what it lacked (memory, a file descriptor) may be there again."""


class WorkerPool:
    """All worker processes. Owner: the task ``workers``; each belongs to a task ``worker N``.

    `Quarantine` submits; health reads `running`, `pids`, `compiling` and `progressed_at_s`, nothing else.

    Parameters
    ----------
    spec
        What every worker is started with.
    pacing
        How many records and bytes a batch has at most.
    count
        How many workers there are.
    budget
        Says whether the answers that wait to be published leave room for more.
    observer
        Receives the events.
    """

    def __init__(
        self, spec: WorkerSpec, pacing: PacingSettings, *, count: int, budget: MemoryBudget, observer: WorkerObserver
    ) -> None:
        self._spec = spec
        self._count = count
        self._observer = observer
        self._budget = budget
        self._scheduler = FairScheduler(pacing)
        self._changed = asyncio.Event()
        self._idle = 0
        self._all_ready = asyncio.Event()
        self._one_ready = asyncio.Event()
        self.compiling: Compiling | None = None
        """How far it is; None where nothing is being compiled."""
        self.pids: set[int] = set()
        """Of the workers that run."""

    def progressed_at_s(self, partition: int) -> float:
        """When workers last made progress with a partition's records, or with those for which these must wait."""
        fits = self._budget.output_fits
        return self._scheduler.progressed_at_s(partition, self._spec.item_timeout_s, output_fits=fits)

    async def ready(self) -> None:
        """Wait until all workers have started, with the model loaded."""
        await self._all_ready.wait()

    async def run(self) -> None:
        """Keep the workers running until cancelled.

        Raises
        ------
        FatalError
            They do not start: a fault of the service, not of the records.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._keep_worker(number), name=f"worker {number}")

    async def submit(self, task: Task, *, is_retry: bool, has_begun: bool = False) -> Answered:
        """Have a task answered, at least in part. A cancelled caller's task is dropped, unless a worker has it.

        Parameters
        ----------
        task
            The task.
        is_retry
            True if it has ended a worker before.
        has_begun
            True if it is the rest of a task.

        Raises
        ------
        WorkerDied
            While it had this task, or one that it had taken together with it.
        """
        job = Job(task, asyncio.get_running_loop().create_future(), is_retry, has_begun)
        self._scheduler.submit(job)
        self._changed.set()
        return await job.answered

    async def _keep_worker(self, number: int) -> None:
        # If something has to be compiled, the first worker does it. The others wait where they did not find it in the
        # cache; they compile that one function themselves, and find all others in the cache.
        may_compile = self._one_ready if number else None
        failed_starts = 0
        while True:
            try:
                async with WorkerProcess.started(self._spec, self._on_compiling, may_compile) as worker:
                    failed_starts = 0
                    await self._serve(worker)
            except WorkerDied as death:
                log.warning("worker died", worker=number, why=str(death), action="starting a fresh one")
                self._observer.worker_replaced(str(death.code), death.suspect)
            except WorkerNotStarted as error:
                failed_starts += 1
                log.warning("worker not started", worker=number, why=str(error), attempt=failed_starts)
                if failed_starts == FAILED_STARTS:
                    raise FatalError(f"worker processes do not start: {error}") from error
                self._observer.worker_replaced(NOT_STARTED)
                await asyncio.sleep(START_PAUSE_S)

    @property
    def running(self) -> int:
        """How many workers are ready for batches, or have one."""
        return len(self.pids)

    async def _serve(self, worker: WorkerProcess) -> None:
        self.pids.add(worker.pid)
        self.compiling = None
        self._one_ready.set()
        if self.running == self._count:
            self._all_ready.set()
        try:
            while True:
                await self._serve_batch(worker)
        finally:
            self.pids.remove(worker.pid)

    async def _serve_batch(self, worker: WorkerProcess) -> None:
        """Have the next batch answered. Afterwards no local variable keeps it or its answers in memory."""
        batch = await self._next_batch(worker)
        answers = await self._answered(worker, batch)
        self._observer.batch_answered(answers.timings)
        self._scheduler.requeue(batch.add(answers))
        self._changed.set()

    async def _answered(self, worker: WorkerProcess, batch: Batch) -> Answers:
        begun_s, cost_s = time.monotonic(), None
        try:
            answers = await worker.answer(batch.tasks, lambda: self._scheduler.note_progress(batch))
            cost_s = answers.timings.cpu_s
        except WorkerDied as death:
            batch.fail(death)
            raise
        else:
            return answers
        finally:
            self._scheduler.charge(batch, min(DEATH_COST_S, time.monotonic() - begun_s) if cost_s is None else cost_s)

    async def _next_batch(self, worker: WorkerProcess) -> Batch:
        """Wait for a batch for this worker.

        Raises
        ------
        WorkerDied
            It ended meanwhile.
        """
        ended = changed = room = None
        self._idle += 1
        try:
            while True:
                self._changed.clear()  # all idle workers look again when it is set
                output_fits = self._budget.output_fits
                batch = self._scheduler.next_batch(free=self._idle - 1, output_fits=output_fits)
                if batch is not None:
                    return batch
                ended = ended or asyncio.ensure_future(worker.ended_idle())
                changed = changed if changed and not changed.done() else asyncio.ensure_future(self._changed.wait())
                wakers = {changed, ended}
                if not output_fits:
                    room = room if room and not room.done() else asyncio.ensure_future(self._budget.output_room())
                    wakers.add(room)
                # Where jobs wait although a worker is free, it is kept for quick lanes; no event says when that ends.
                timeout_s = QUICK_QUEUE_S if self._scheduler.has_jobs else None
                await asyncio.wait(wakers, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    raise WorkerDied("a worker ended while it had nothing to do", ErrorCode.WORKER_CRASHED, None)
        finally:
            self._idle -= 1
            waiting = {each for each in (ended, changed, room) if each is not None}
            for each in waiting:
                each.cancel()
            if waiting:
                await asyncio.wait(waiting)  # the channel has one reader at a time

    def _on_compiling(self, compiling: Compiling) -> None:
        if self.compiling is None and compiling.not_kept is not None:
            log.warning("machine code not kept", why=compiling.not_kept, action="compiling in each process")
        self.compiling = compiling
        log.info("compiling, once", done=compiling.done, total=compiling.total)
