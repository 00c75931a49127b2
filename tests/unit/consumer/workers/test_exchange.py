"""The model is exchanged while tasks are read: each task ends with the model that it began with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from consumer.memory_budget import MemoryBudget
from consumer.settings import PacingSettings
from consumer.workers.observers import WorkerObserver
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from consumer.workers.tasks import Answer, Answers, Part, Stop, Task, Timings
from contract.errors import ErrorCode
from engine.model.files import ModelInfo
from tests.harness.tasks import rules, task
from tests.harness.waiting import eventually


def model(version: str) -> PinnedModel:
    return cast("PinnedModel", SimpleNamespace(info=ModelInfo("digits", version, "0" * 64)))


OLD, NEW = model("1"), model("2")


class Worker:
    """Answers one record of each task when the test lets it, with its model's version as the result."""

    running: ClassVar[list[Worker]] = []
    challenger_problem = ""

    def __init__(self, spec: WorkerSpec) -> None:
        self.version = spec.model.info.version
        self.tasks: list[Task] = []
        self._next: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, spec: WorkerSpec, *_more: object) -> AsyncIterator[Worker]:
        worker = cls(spec)
        cls.running.append(worker)
        try:
            yield worker
        finally:
            cls.running.remove(worker)

    @property
    def pid(self) -> int:
        return id(self)

    async def ended_idle(self) -> None:
        await asyncio.Event().wait()

    async def answer(self, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        del progressed
        self.tasks = tasks
        self._next = asyncio.get_running_loop().create_future()
        if (error := await self._next) is not None:
            raise error
        first, next_offset = tasks[0].first_offset, tasks[0].first_offset + 1
        part = Part(next_offset, [bytearray(self.version.encode())], recognised=1)
        stop = Stop(next_offset) if next_offset < tasks[0].next_offset else None
        assert first < tasks[0].next_offset
        return Answers([Answer([part], stop)], Timings(0, 0, 0))

    def go_on(self, error: BaseException | None = None) -> None:
        self.tasks = []
        self._next.set_result(error)


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerPool]:
    monkeypatch.setattr("consumer.workers.pool.WorkerProcess", Worker)
    monkeypatch.setattr(Worker, "running", [])
    spec = WorkerSpec(OLD, rules(), 0, 10)
    made = WorkerPool(spec, PacingSettings(), count=2, budget=MemoryBudget(2**20), observer=WorkerObserver())
    keeping = asyncio.create_task(made.run())
    await made.ready()
    yield made
    keeping.cancel()
    await asyncio.wait({keeping})


class Reading:
    """A task that is being classified, and the versions that have read its records so far."""

    def __init__(self, pool: WorkerPool, of: Task) -> None:
        self._quarantine = Quarantine(pool, b"canary", service_faults=10)
        self.versions: list[str] = []
        self.done = asyncio.create_task(self._read(of))

    async def _read(self, of: Task) -> None:
        async for part in self._quarantine.classify(of):
            self.versions += [result.decode() for result in part.results]


def working(version: str) -> list[Worker]:
    return [worker for worker in Worker.running if worker.tasks and worker.version == version]


async def given_to(version: str) -> Worker:
    return (await eventually(lambda: working(version)))[0]


def versions() -> list[str]:
    return sorted(worker.version for worker in Worker.running)


async def accept(_: Any) -> None:
    return


async def test_a_task_that_has_begun_ends_with_its_model_and_the_next_one_has_the_new(pool: WorkerPool) -> None:
    first = Reading(pool, task(b"a", b"b", b"c"))
    await given_to("1")
    exchange = asyncio.create_task(pool.exchange(NEW, accept))
    await eventually(lambda: pool.model.version == "2")
    second = Reading(pool, task(b"d", offset=3))
    (await given_to("2")).go_on()
    await second.done
    assert not exchange.done(), "the old crew has not ended its task"
    for _ in range(3):
        (await given_to("1")).go_on()
    await first.done
    await exchange
    assert (first.versions, second.versions) == (["1", "1", "1"], ["2"])
    assert versions() == ["2", "2"]


async def test_a_task_whose_worker_dies_after_the_move_is_repeated_with_its_model(pool: WorkerPool) -> None:
    first = Reading(pool, task(b"a", b"b"))
    await given_to("1")
    exchange = asyncio.create_task(pool.exchange(NEW, accept))
    await eventually(lambda: pool.model.version == "2")
    (await given_to("1")).go_on(WorkerDied("it was killed", ErrorCode.WORKER_CRASHED))
    for _ in range(2):
        (await given_to("1")).go_on()
    await first.done
    await exchange
    assert first.versions == ["1", "1"]
    assert versions() == ["2", "2"]


async def test_a_task_that_waits_for_a_worker_is_read_by_the_new_model(pool: WorkerPool) -> None:
    begun = [Reading(pool, task(b"a", partition=number)) for number in range(2)]
    await eventually(lambda: len(working("1")) == 2)
    waiting = Reading(pool, task(b"b", partition=2))
    await asyncio.sleep(0)
    exchange = asyncio.create_task(pool.exchange(NEW, accept))
    (await given_to("2")).go_on()
    await waiting.done
    for worker in working("1"):
        worker.go_on()
    await asyncio.gather(exchange, *(each.done for each in begun))
    assert (waiting.versions, [each.versions for each in begun]) == (["2"], [["1"], ["1"]])


async def test_a_lane_that_ends_does_not_keep_the_old_workers(pool: WorkerPool) -> None:
    first = Reading(pool, task(b"a", b"b"))
    await given_to("1")
    exchange = asyncio.create_task(pool.exchange(NEW, accept))
    await eventually(lambda: pool.model.version == "2")
    first.done.cancel()
    (await given_to("1")).go_on()
    await exchange
    assert versions() == ["2", "2"]


async def test_new_workers_start_one_after_the_other_and_the_first_is_checked(pool: WorkerPool) -> None:
    seen = []

    async def check(worker: Any) -> None:
        seen.append((worker.version, versions(), pool.model.version))

    await pool.exchange(NEW, check)
    assert seen == [("2", ["1", "1", "2"], "1")]
    assert versions() == ["2", "2"]


async def test_a_check_that_fails_leaves_the_old_workers_alone(pool: WorkerPool) -> None:
    async def refuse(_: Any) -> None:
        raise ValueError("not good enough")

    with pytest.raises(ValueError, match="not good enough"):
        await pool.exchange(NEW, refuse)
    assert (versions(), pool.model.version, pool.running) == (["1", "1"], "1", 2)


async def test_workers_that_do_not_start_leave_the_old_ones_alone(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    @contextlib.asynccontextmanager
    async def started(spec: WorkerSpec, *_more: object) -> AsyncIterator[Worker]:
        attempts.append(spec)
        if len(attempts) == 2:
            raise WorkerNotStarted("no memory is left")
        yield Worker(spec)

    monkeypatch.setattr(Worker, "started", started)
    with pytest.raises(WorkerNotStarted):
        await pool.exchange(NEW, accept)
    assert (len(attempts), versions(), pool.model.version) == (2, ["1", "1"], "1")


async def test_an_exchange_that_is_cancelled_leaves_no_new_worker(pool: WorkerPool) -> None:
    checking = asyncio.Event()

    async def wait(_: Any) -> None:
        checking.set()
        await asyncio.Event().wait()

    exchange = asyncio.create_task(pool.exchange(NEW, wait))
    await checking.wait()
    exchange.cancel()
    await asyncio.wait({exchange})
    assert (versions(), pool.model.version) == (["1", "1"], "1")
