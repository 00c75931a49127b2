"""A pool of real worker processes, without Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.settings import RECEIVED_SHARE, PacingSettings, Settings
from consumer.workers.canary import CANARY
from consumer.workers.challenge.report import Challenged
from consumer.workers.observers import WorkerObserver, WorkerObservers
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from consumer.workers.tasks import Part, Task
from contract.records import Result
from engine.model.files import ModelFiles, ModelInfo
from models import default_model
from tests.harness.processes import workers_of
from tests.harness.tasks import results_of, rules, task
from tests.harness.waiting import eventually

WORKERS = 2


class Challenges(WorkerObserver):
    """Keeps what the workers report of the challenger."""

    def __init__(self) -> None:
        self.reports: list[Challenged] = []

    def challenged(self, report: Challenged, champion: ModelInfo, challenger: ModelInfo) -> None:
        """Keep it."""
        del champion, challenger
        self.reports.append(report)

    @property
    def compared(self) -> int:
        """How many pictures both models were asked for."""
        return sum(pair.count for report in self.reports for pair in report.compared)

    @property
    def skipped(self) -> int:
        """How many pictures of the share were not read."""
        return sum(sum(report.skipped.values()) for report in self.reports)


@dataclasses.dataclass(frozen=True)
class RunningPool:
    """A pool, its metrics, what it reports of the challenger, and the task that runs it."""

    pool: Quarantine
    workers: WorkerPool
    metrics: Metrics
    challenges: Challenges
    keeping: asyncio.Task[None]

    @property
    def restarts(self) -> float:
        """How many workers were replaced so far."""
        (family,) = self.metrics.worker_restarts.collect()
        return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))

    async def results(self, payloads: Sequence[bytes]) -> list[Result]:
        """Classify payloads as one task; return the results of all, in order."""
        return results_of(await self.parts(task(*payloads, partition=0)))

    async def parts(self, of: Task) -> list[Part]:
        """Classify a task; return its parts."""
        return [part async for part in self.pool.classify(of)]

    async def is_whole_again(self) -> None:
        """Wait until all workers run."""
        await eventually(
            lambda: (self.workers.running, len(workers_of(os.getpid()))),
            lambda seen: seen == (WORKERS, WORKERS),
            deadline_s=60,
        )


@contextlib.asynccontextmanager
async def running_pool(
    *,
    item_timeout_s: float = 10,
    service_faults: int = 10,
    memory_bytes: int = Settings.model_fields["worker_memory_bytes"].default,
    model: Path | None = None,
    challenger: ModelFiles | None = None,
    challenger_share: float = 1,
) -> AsyncIterator[RunningPool]:
    """Start a pool, wait until it is ready, end it."""
    metrics, challenges = Metrics(), Challenges()
    pinned = PinnedModel.of(ModelFiles.read(folder := model or default_model()), str(folder))
    other = None if challenger is None else PinnedModel.of(challenger, "challenger")
    of_all = rules(
        record_timeout_s=120,
        inflated_bytes=memory_bytes // RECEIVED_SHARE,
        challenger_share=challenger_share,
        reports_disputed=True,
    )
    spec = WorkerSpec(pinned, of_all, memory_bytes, item_timeout_s, other)
    observer = WorkerObservers([metrics, challenges])
    workers = WorkerPool(spec, PacingSettings(), count=WORKERS, budget=MemoryBudget(2**26), observer=observer)
    keeping = asyncio.create_task(workers.run(), name="workers")
    ready = asyncio.create_task(workers.ready())
    try:
        await asyncio.wait({keeping, ready}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        yield RunningPool(
            Quarantine(workers, CANARY.read_bytes(), service_faults=service_faults),
            workers,
            metrics,
            challenges,
            keeping,
        )
    finally:
        ready.cancel()
        keeping.cancel()
        await asyncio.wait({keeping, ready})
        pinned.close()
        if other is not None:
            other.close()
