"""What the pool does with workers that end by the challenger, without processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest

from consumer.memory_budget import MemoryBudget
from consumer.settings import PacingSettings
from consumer.workers.challenge.standing import MOST_DEATHS, ChallengerStanding
from consumer.workers.observers import CHALLENGER, NOT_STARTED, WorkerObserver
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import ChallengerDied, Suspect, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from consumer.workers.tasks import Answer, Answers, Part, Task, Timings
from engine.model.files import ModelInfo
from tests.harness.tasks import rules, task
from tests.harness.waiting import eventually


def model(version: str) -> PinnedModel:
    return cast("PinnedModel", SimpleNamespace(info=ModelInfo("digits", version, version * 64)))


class Replaced(WorkerObserver):
    """Notes why workers were replaced."""

    def __init__(self) -> None:
        self.why: list[str] = []

    def worker_replaced(self, why: str, suspect: Suspect | None = None) -> None:
        assert suspect is None
        self.why.append(why)


class Worker:
    """Answers each task, unless its script says otherwise."""

    challenger_problem = ""
    fails_to_start: ClassVar[bool] = False
    deaths: ClassVar[int] = 0
    """How many batches still end a worker that has the challenger."""
    batches: ClassVar[list[tuple[int, bool]]] = []
    """The first offset of each batch, and whether its worker had the challenger."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, spec: WorkerSpec, *_more: object) -> AsyncIterator[Worker]:
        if cls.fails_to_start and spec.challenger is not None:
            raise WorkerNotStarted("it ended before it was ready")
        yield cls(spec)

    @property
    def pid(self) -> int:
        return id(self)

    async def ended_idle(self) -> None:
        await asyncio.Event().wait()

    async def answer(self, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        del progressed
        await asyncio.sleep(0)
        Worker.batches.append((tasks[0].first_offset, self.spec.challenger is not None))
        if Worker.deaths and self.spec.challenger is not None:
            Worker.deaths -= 1
            raise ChallengerDied("it did not stop its challenge")
        return Answers([Answer([Part(each.next_offset, [], recognised=1)]) for each in tasks], Timings(0, 0, 0))


@pytest.fixture(autouse=True)
def _script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.workers.pool.WorkerProcess", Worker)
    monkeypatch.setattr(Worker, "fails_to_start", False)
    monkeypatch.setattr(Worker, "deaths", 0)
    monkeypatch.setattr(Worker, "batches", [])


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[WorkerPool, Replaced]]:
    replaced = Replaced()
    spec = WorkerSpec(model("1"), rules(), 0, 10, model("2"))
    pool = WorkerPool(spec, PacingSettings(), count=2, budget=MemoryBudget(2**20), observer=replaced)
    keeping = asyncio.create_task(pool.run())
    try:
        await pool.ready()
        yield pool, replaced
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def offsets(pool: WorkerPool, first: int) -> list[int]:
    quarantine = Quarantine(pool, b"canary", service_faults=1)
    return [part.next_offset async for part in quarantine.classify(task(b"a", offset=first))]


async def test_a_batch_whose_worker_ends_by_the_challenger_is_answered_by_another_as_it_was() -> None:
    Worker.deaths = 1
    async with running() as (pool, replaced):
        assert await offsets(pool, 7) == [8]
        assert Worker.batches == [(7, True), (7, True)]
        assert replaced.why == [CHALLENGER]
        assert (pool.challenger, pool.challenger_problem) == (ModelInfo("digits", "2", "2" * 64), "")


async def test_after_the_third_death_fresh_workers_have_no_challenger() -> None:
    Worker.deaths = 100
    async with running() as (pool, replaced):
        for first in range(10):
            assert await offsets(pool, first) == [first + 1]
        assert replaced.why.count(CHALLENGER) <= MOST_DEATHS + 1, "the other worker still has it"
        assert pool.challenger is None
        assert pool.challenger_problem == "3 workers have ended by it; the last time: it did not stop its challenge"


async def test_workers_that_do_not_start_with_a_challenger_start_without_it() -> None:
    Worker.fails_to_start = True
    async with running() as (pool, replaced):
        assert replaced.why == [NOT_STARTED] * 2
        assert await offsets(pool, 0) == [1]
        assert Worker.batches == [(0, False)]


async def test_a_lane_that_ends_meanwhile_leaves_nothing_that_is_done_again() -> None:
    Worker.deaths = 1
    async with running() as (pool, replaced):
        waiting = asyncio.create_task(offsets(pool, 0))
        await eventually(lambda: Worker.batches)
        waiting.cancel()
        await asyncio.wait({waiting})
        await eventually(lambda: replaced.why)
        assert await offsets(pool, 5) == [6]


def test_the_first_reason_stays() -> None:
    standing = ChallengerStanding()
    standing.leave_out("one")
    standing.leave_out("two")
    assert standing.problem == "one"
