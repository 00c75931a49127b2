"""Another model takes the place of the one that serves only if it is sound and no worse; real workers try it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.exchange.gate import Gate, Refused
from consumer.exchange.golden import GOLDEN, GoldenSet
from consumer.workers.canary import CANARY
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.process import WorkerProcess
from engine.model.files import ModelFiles
from tests.harness.images import drawn_digits, zipped
from tests.harness.models import bomb_model, not_finite_model, pickled_model, version_of, worse_model
from tests.harness.onnx_models import foreign_operator_model
from tests.harness.processes import workers_of
from tests.harness.tasks import results_of, task
from tests.harness.waiting import eventually
from tests.harness.worker_pool import WORKERS, RunningPool, running_pool
from transport.errors import InvalidSettingError

DIGITS = drawn_digits(20)


@dataclass(frozen=True)
class Served(RunningPool):
    """A pool whose model can be exchanged."""

    gate: Gate
    models: contextlib.ExitStack
    """Closes them when the pool has ended."""

    async def exchange(self, files: ModelFiles) -> None:
        """Let another model serve if it passes."""
        model = self.models.enter_context(contextlib.closing(PinnedModel.of(files, "a store")))
        misread = await self.gate.misread_by(self.workers)

        async def check(worker: WorkerProcess) -> None:
            await self.gate.check(worker, misread)

        await self.workers.exchange(model, check)


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Served]:
    gate = Gate(CANARY.read_bytes(), GoldenSet.read(GOLDEN), margin=0.01)
    with contextlib.ExitStack() as models:
        async with running_pool() as made:
            yield Served(made.pool, made.workers, made.metrics, made.challenges, made.keeping, gate, models)


async def versions(pool: Served) -> set[str]:
    return {result.model.version for result in await pool.results(DIGITS)}


async def test_a_model_as_good_as_the_old_one_takes_its_place(pool: Served) -> None:
    await pool.exchange(version_of("2"))
    assert await versions(pool) == {"2"}
    assert len(workers_of(os.getpid())) == pool.workers.running == WORKERS
    assert pool.restarts == 0


async def test_results_are_first_the_old_models_and_then_the_new_ones(pool: Served) -> None:
    before = await versions(pool)
    moving = asyncio.create_task(pool.exchange(version_of("3")))
    seen: list[str] = []
    archive = zipped([(f"{number}.png", digit) for number, digit in enumerate(DIGITS * 25)])
    reading = asyncio.create_task(pool.parts(task(archive, partition=1)))
    while not moving.done() or seen[-1] != "3":
        seen += [result.model.version for result in await pool.results(DIGITS)]
    await moving
    assert seen == sorted(seen)
    assert set(seen) == before | {"3"}
    of_archive = {result.model.version for result in results_of(await reading)}
    assert len(of_archive) == 1, "one model reads all of a request"


async def test_a_new_worker_that_is_killed_is_replaced_by_one_with_the_new_model(pool: Served) -> None:
    await pool.exchange(version_of("4"))
    for pid in set(pool.workers.pids):
        os.kill(pid, signal.SIGKILL)
    assert await versions(pool) == {"4"}
    await pool.is_whole_again()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: worse_model("9", folder), r"it misreads \d\d of 500 golden digits; .* and 15 are allowed"),
        (lambda _: not_finite_model("9"), "weights has a value that is not finite"),
        (lambda _: pickled_model("9"), "is not an archive of arrays: Object arrays cannot be loaded"),
        (lambda _: bomb_model("9"), "the arrays inflate to 1,.* bytes; the most is"),
        (foreign_operator_model, "operators that are not allowed: NonZero"),
    ],
    ids=["worse", "not finite", "pickle", "bomb", "operator"],
)
async def test_a_worse_or_hostile_model_is_refused_and_the_old_one_answers(
    pool: Served, tmp_path: Path, make: Callable[[Path], ModelFiles], why: str
) -> None:
    before, pids = await versions(pool), set(pool.workers.pids)
    with pytest.raises((Refused, InvalidSettingError), match=why):
        await pool.exchange(make(tmp_path / "model"))
    assert await versions(pool) == before
    assert set(pool.workers.pids) == pids, "no worker was replaced"
    await eventually(lambda: len(workers_of(os.getpid())), lambda count: count == WORKERS)
