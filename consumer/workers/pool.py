"""The worker pool: the processes that do the batches of `consumer.workers.scheduler`.

Every worker has a socket of its own, so that one that is killed in the middle of a frame leaves the others untouched,
and its end is an end-of-file at once. (Pools whose workers share a pipe cannot promise this: `pebble` 5.2 breaks as a
whole when an idle worker is killed, the standard library's when any is.)

Where there is a challenger, a worker reads with it while it is idle, and reports that before its next answers. A worker
that ends meanwhile costs no record anything: its next batch goes to another worker as it was.

`WorkerPool.exchange` replaces all of them by workers that have another model: see `consumer.workers.crew`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import structlog

from consumer.memory_budget import MemoryBudget
from consumer.settings import PacingSettings
from consumer.workers.challenge.report import Challenged
from consumer.workers.challenge.standing import ChallengerStanding
from consumer.workers.crew import Claim, Crew
from consumer.workers.jobs import Answered, Batch, Job
from consumer.workers.observers import CHALLENGER, NOT_STARTED, WorkerObserver
from consumer.workers.processes.deaths import ChallengerDied, WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.process import WorkerProcess
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.protocol import Compiling
from consumer.workers.scheduler import DEATH_COST_S, QUICK_QUEUE_S, FairScheduler
from consumer.workers.tally import Tally
from consumer.workers.tasks import Answers, Task
from contract.errors import ErrorCode
from engine.model.files import ModelInfo
from transport.errors import FatalError, InvalidSettingError

log = structlog.get_logger()

FAILED_STARTS: Final = 3
"""Fresh workers in a row that may fail to start before the service gives up."""
START_PAUSE_S: Final = 0.5
"""After a failed start: what it lacked (memory, a file descriptor) may be there again."""


class WorkerPool:
    """All worker processes. Owner: the task ``workers``; each belongs to a task ``worker N``.

    `Quarantine` submits, and one task at a time may call `exchange`. Health reads `running`, `pids`, `compiling`,
    `model`, `challenger`, `challenger_problem` and `progressed_at_s`, nothing else.

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
    challenger_problem
        Why the challenger that is set is not in `spec`; empty if it is, or if none is set.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        pacing: PacingSettings,
        *,
        count: int,
        budget: MemoryBudget,
        observer: WorkerObserver,
        challenger_problem: str = "",
    ) -> None:
        self._crew = Crew(spec)
        self._crew.may_serve.set()
        self._tasks: asyncio.TaskGroup | None = None
        self._count = count
        self._observer = observer
        self._budget = budget
        self._scheduler = FairScheduler(pacing)
        self._standing = ChallengerStanding(challenger_problem)
        self._changed = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._one_ready = asyncio.Event()
        self.compiling: Compiling | None = None
        """How far it is; None where nothing is being compiled."""
        self.pids: set[int] = set()
        """Of the workers that serve, or that end what they have begun."""

    @property
    def model(self) -> ModelInfo:
        """What the tasks are read with that begin now."""
        return self.pinned.info

    @property
    def pinned(self) -> PinnedModel:
        """The same, with its manifest."""
        return self._crew.spec.model

    @property
    def tally(self) -> Tally:
        """Of the answers of that model, since it serves."""
        return self._crew.tally

    @property
    def challenger(self) -> ModelInfo | None:
        """The model that reads a share again; None if there is none, or if it is left out."""
        challenger = self._standing.applied_to(self._crew.spec).challenger
        return None if challenger is None else challenger.info

    @property
    def challenger_problem(self) -> str:
        """Why the challenger that is set is left out; empty if it is not, or if none is set."""
        return self._standing.problem

    def progressed_at_s(self, partition: int) -> float:
        """When workers last made progress with a partition's records, or with those for which these must wait."""
        fits = self._budget.output_fits
        return self._scheduler.progressed_at_s(partition, self._crew.spec.item_timeout_s, output_fits=fits)

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
        async with asyncio.TaskGroup() as self._tasks:
            # If something has to be compiled, the first worker does it. The others wait where they did not find it in
            # the cache; they compile that one function themselves, and find all others in the cache.
            for number in range(self._count):
                self._keep(self._crew, number, may_compile=self._one_ready if number else None)

    async def exchange(self, model: PinnedModel, check: Callable[[WorkerProcess], Awaitable[None]]) -> None:
        """Replace all workers by others that have another model, while the service answers.

        They are started one after the other, beside those that serve. When all are there, they get each task that no
        worker has begun, and the others end what they have begun. This returns when these are gone.

        Parameters
        ----------
        model
            What the new ones load. The caller closes it, but not before another model has taken its place.
        check
            Tries the first of them before it serves. What it raises ends the exchange.

        Raises
        ------
        WorkerNotStarted, InvalidSettingError
            As `WorkerProcess.started`. If this or `check` raises, nothing has changed, and no new worker is left.
        """
        before, fresh = self._crew, Crew(dataclasses.replace(self._crew.spec, model=model))
        try:
            for number in range(self._count):
                started = asyncio.get_running_loop().create_future()
                self._keep(fresh, number, started=started)
                worker = await started
                if number == 0:
                    await check(worker)
        except BaseException:
            for task in fresh.keeping:
                task.cancel()
            if fresh.keeping:
                await asyncio.wait(fresh.keeping)  # all at once, since each may take a moment to end
            raise
        self._crew, before.retires = fresh, True
        fresh.may_serve.set()
        self._changed.set()
        await asyncio.wait(before.keeping)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Claim]:
        """Give what keeps all parts of a task, and all attempts to do it, with the crew that begins it."""
        claim = Claim()
        try:
            yield claim
        finally:
            crew = claim.crew
            claim.end()
            if crew is not None and crew.is_over:
                self._changed.set()  # its workers have waited for just this

    async def submit(self, task: Task, claim: Claim, *, is_retry: bool, has_begun: bool = False) -> Answered:
        """Have a task answered, at least in part. A cancelled caller's task is dropped, unless a worker has it.

        Parameters
        ----------
        task, claim
            The task, and the claim of the one that it was cut from.
        is_retry
            True if it has ended a worker before.
        has_begun
            True if it is the rest of a task.

        Raises
        ------
        WorkerDied
            While it had this task, or one that it had taken together with it.
        """
        job = Job(task, asyncio.get_running_loop().create_future(), is_retry, has_begun, claim)
        self._scheduler.submit(job)
        self._changed.set()
        return await job.answered

    def _keep(
        self,
        crew: Crew,
        number: int,
        *,
        may_compile: asyncio.Event | None = None,
        started: asyncio.Future[WorkerProcess] | None = None,
    ) -> None:
        if self._tasks is None:
            raise RuntimeError("the pool does not run")
        keep = self._keep_worker(crew, number, may_compile, started)
        crew.keeping.append(self._tasks.create_task(keep, name=f"worker {number}"))

    async def _keep_worker(
        self,
        crew: Crew,
        number: int,
        may_compile: asyncio.Event | None,
        started: asyncio.Future[WorkerProcess] | None,
    ) -> None:
        """Keep one worker running until its crew is over.

        Parameters
        ----------
        crew, number
            Which.
        may_compile
            As for `WorkerProcess.started`.
        started
            Of a crew that does not serve yet: gets the worker when it has started, or what has prevented that.
        """
        failed_starts = 0
        may_challenge = True
        while not crew.is_over:
            spec = self._standing.applied_to(crew.spec, may_challenge=may_challenge)
            try:
                await self._run_worker(crew, number, spec, may_compile=may_compile, started=started)
                failed_starts, may_challenge = 0, True
            except (WorkerNotStarted, InvalidSettingError) as error:
                if spec.challenger is not None and isinstance(error, WorkerNotStarted):
                    # It may be the challenger's fault. If it is not, the next attempt fails as well.
                    may_challenge = False
                    log.warning("worker not started", worker=number, why=str(error), action="without the challenger")
                    self._standing.note_death(str(error))
                    self._observer.worker_replaced(NOT_STARTED)
                    continue
                if started is not None and not started.done():
                    started.set_exception(error)
                    return
                if isinstance(error, InvalidSettingError):
                    raise
                failed_starts += 1
                log.warning("worker not started", worker=number, why=str(error), attempt=failed_starts)
                if failed_starts == FAILED_STARTS:
                    raise FatalError(f"worker processes do not start: {error}") from error
                self._observer.worker_replaced(NOT_STARTED)
                await asyncio.sleep(START_PAUSE_S)

    async def _run_worker(
        self,
        crew: Crew,
        number: int,
        spec: WorkerSpec,
        *,
        may_compile: asyncio.Event | None,
        started: asyncio.Future[WorkerProcess] | None,
    ) -> None:
        """Start a worker and let it serve, until it dies or its crew is over."""
        try:
            async with WorkerProcess.started(
                spec, partial(self._on_compiling, crew), may_compile, partial(self._on_challenged, spec)
            ) as worker:
                if worker.challenger_problem:
                    self._standing.leave_out(worker.challenger_problem)
                if started is not None and not started.done():
                    started.set_result(worker)
                await crew.may_serve.wait()
                await self._serve(crew, worker)
        except WorkerDied as death:
            log.warning("worker died", worker=number, why=str(death), action="starting a fresh one")
            self._observer.worker_replaced(str(death.code), death.suspect)
        except ChallengerDied as death:
            log.warning("challenger ended a worker", worker=number, why=str(death), action="starting a fresh one")
            self._standing.note_death(str(death))
            self._observer.worker_replaced(CHALLENGER)

    @property
    def running(self) -> int:
        """How many workers are ready for batches, or have one. While the model is exchanged there may be more."""
        return len(self.pids)

    async def _serve(self, crew: Crew, worker: WorkerProcess) -> None:
        """Have batches answered until the crew is over."""
        self.pids.add(worker.pid)
        self.compiling = None
        self._one_ready.set()
        if self.running == self._count:
            self._all_ready.set()
        try:
            while await self._serve_batch(crew, worker):
                pass
        finally:
            self.pids.remove(worker.pid)

    async def _serve_batch(self, crew: Crew, worker: WorkerProcess) -> bool:
        """Have the next batch answered. Afterwards no local variable keeps it or its answers in memory.

        Returns
        -------
        bool
            False if there will be none, since the crew is over.
        """
        batch = await self._next_batch(crew, worker)
        if batch is None:
            return False
        try:
            answers = await self._answered(worker, batch)
        except ChallengerDied:  # the batch has not begun
            self._scheduler.requeue(batch.jobs)
            self._changed.set()
            raise
        self._observer.batch_answered(answers.timings)
        for each in answers.answers:
            crew.tally.count(each.parts)
        self._scheduler.requeue(batch.add(answers))
        self._changed.set()
        return True

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

    async def _next_batch(self, crew: Crew, worker: WorkerProcess) -> Batch | None:
        """Wait for a batch for this worker; None if there will be none.

        Raises
        ------
        WorkerDied
            It ended meanwhile.
        """
        ended = changed = room = None
        crew.idle += 1
        try:
            while not crew.is_over:
                self._changed.clear()  # all idle workers look again when it is set
                output_fits = self._budget.output_fits
                batch = self._scheduler.next_batch(crew, free=crew.idle - 1, output_fits=output_fits)
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
                    ended.result()
                    raise WorkerDied("a worker ended while it had nothing to do", ErrorCode.WORKER_CRASHED, None)
            return None
        finally:
            crew.idle -= 1
            waiting = {each for each in (ended, changed, room) if each is not None}
            for each in waiting:
                each.cancel()
            if waiting:
                await asyncio.wait(waiting)  # the channel has one reader at a time
            if ended is not None and not ended.cancelled():
                ended.exception()  # if a batch has come as well, `answer` finds the same

    def _on_challenged(self, spec: WorkerSpec, report: Challenged) -> None:
        if spec.challenger is not None:
            self._observer.challenged(report, spec.model.info, spec.challenger.info)

    def _on_compiling(self, crew: Crew, compiling: Compiling) -> None:
        if not crew.may_serve.is_set():
            return  # others answer meanwhile
        if self.compiling is None and compiling.not_kept is not None:
            log.warning("machine code not kept", why=compiling.not_kept, action="compiling in each process")
        self.compiling = compiling
        log.info("compiling, once", done=compiling.done, total=compiling.total)
