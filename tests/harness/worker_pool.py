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
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from consumer.workers.tasks import Part, Task
from contract.records import Result
from engine.model.files import ModelFiles
from models import default_model
from tests.harness.processes import workers_of
from tests.harness.tasks import results_of, rules, task
from tests.harness.waiting import eventually

WORKERS = 2


@dataclasses.dataclass(frozen=True)
class RunningPool:
    """A pool, its metrics, and the task that runs it."""

    pool: Quarantine
    workers: WorkerPool
    metrics: Metrics
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
) -> AsyncIterator[RunningPool]:
    """Start a pool, wait until it is ready, end it."""
    metrics = Metrics()
    pinned = PinnedModel.of(ModelFiles.read(folder := model or default_model()), str(folder))
    of_all = rules(record_timeout_s=120, inflated_bytes=memory_bytes // RECEIVED_SHARE)
    spec = WorkerSpec(pinned, of_all, memory_bytes, item_timeout_s)
    workers = WorkerPool(spec, PacingSettings(), count=WORKERS, budget=MemoryBudget(2**26), observer=metrics)
    keeping = asyncio.create_task(workers.run(), name="workers")
    ready = asyncio.create_task(workers.ready())
    try:
        await asyncio.wait({keeping, ready}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        yield RunningPool(
            Quarantine(workers, CANARY.read_bytes(), service_faults=service_faults), workers, metrics, keeping
        )
    finally:
        ready.cancel()
        keeping.cancel()
        await asyncio.wait({keeping, ready})
        pinned.close()
