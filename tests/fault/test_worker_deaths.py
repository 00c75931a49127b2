"""A worker may die or hang at any time: the item that causes it fails, all others are read, the worker is replaced."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.records import Result
from engine.model.files import ARRAYS, MANIFEST
from engine.model.store import load
from models import default_model
from tests.harness import poison
from tests.harness.images import drawn_digits, zipped
from tests.harness.poison import poisoned, poisoned_workers
from tests.harness.processes import memory_bytes, resource_limits, workers_of
from tests.harness.shadowing_packages import make_shadowing_packages
from tests.harness.tasks import dead_letters_of, results_of, task
from tests.harness.waiting import eventually
from tests.harness.worker_pool import WORKERS, RunningPool, running_pool
from transport.errors import FatalError, InvalidSettingError, leaf_exceptions

TIMEOUT_S = 2.0
MEMORY_BYTES = 256 * 1024 * 1024
DIGITS = drawn_digits(20)


@pytest.fixture(scope="module", autouse=True)
def _workers_fall_for_poison() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", poison.PYTHONPATH)
        yield


@pytest.fixture(scope="module")
async def shared_pool() -> AsyncIterator[RunningPool]:
    async with running_pool(item_timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES) as running:
        yield running


@pytest.fixture
async def pool(shared_pool: RunningPool) -> AsyncIterator[RunningPool]:
    """The pool that all tests share: whatever one has done to it, it comes back for the next."""
    yield shared_pool
    await shared_pool.is_whole_again()
    assert all(result.error is None for result in await shared_pool.results(DIGITS))


async def replaced(pool: RunningPool) -> None:
    """Kill all workers of a pool, and wait for those that take their places."""
    killed = set(pool.workers.pids)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    await eventually(
        lambda: set(pool.workers.pids), lambda pids: len(pids) == WORKERS and pids.isdisjoint(killed), deadline_s=60
    )


def codes(results: list[Result]) -> dict[int, str]:
    """Give the codes of those that failed, by offset."""
    return {result.source.offset: result.error.code for result in results if result.error}


def with_poison(effect: str, at: int) -> list[bytes]:
    return [*DIGITS[:at], poisoned(effect), *DIGITS[at + 1 :]]


async def test_images_that_crash_their_worker_fail_alone(pool: RunningPool) -> None:
    batch = [*DIGITS[:3], poisoned("segfault"), *DIGITS[:3], poisoned("kill"), *DIGITS[:3]]
    results = await pool.results(batch)
    assert [result.source.offset for result in results] == list(range(11))
    assert codes(results) == {3: "worker-crashed", 7: "worker-crashed"}


@pytest.mark.parametrize("effect", ["busy", "stop"])
async def test_an_image_that_hangs_its_worker_fails_alone_after_one_timeout(pool: RunningPool, effect: str) -> None:
    await pool.is_whole_again()
    begun_s, restarts = time.monotonic(), pool.restarts
    results = await pool.results(with_poison(effect, at=7))
    assert time.monotonic() - begun_s >= TIMEOUT_S
    assert await eventually(lambda: pool.restarts - restarts) == 1
    assert [result.source.offset for result in results] == list(range(20))
    assert codes(results) == {7: "worker-timeout"}


@pytest.mark.slow  # ends several workers
@pytest.mark.parametrize(("effect", "code"), [("late segfault", "worker-crashed"), ("late busy", "worker-timeout")])
async def test_an_image_that_does_harm_when_classified_in_a_group_fails_alone(
    pool: RunningPool, effect: str, code: str
) -> None:
    guilty = poisoned(effect)
    archive = zipped([(f"{index}.png", guilty if index == 100 else digit) for index, digit in enumerate(DIGITS * 15)])
    images, parts = await asyncio.gather(
        pool.results(with_poison(effect, at=7)), pool.parts(task(guilty, archive, *DIGITS, partition=1))
    )
    assert codes(images) == {7: code}
    assert [part.next_offset for part in parts][:2] == [1, 2]
    assert len(results_of(parts[1:2])) == 300
    letters = [(letter.origin_offset, letter.item_index, letter.error_code) for _, letter in dead_letters_of(parts)]
    assert letters == [(0, 0, code), (1, 100, code)]


@pytest.mark.parametrize(("effect", "code"), [("memory", "out-of-memory"), ("internal", "internal-error")])
async def test_an_image_that_exceeds_memory_or_breaks_its_decoder_ends_no_worker(
    pool: RunningPool, effect: str, code: str
) -> None:
    before = pool.restarts
    assert codes(await pool.results(with_poison(effect, at=7))) == {7: code}
    assert pool.restarts == before


async def test_a_warm_worker_has_bounded_memory_and_writes_neither_files_nor_core_dumps(pool: RunningPool) -> None:
    for pid in workers_of(os.getpid()):
        limits = resource_limits(pid)
        assert limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
        soft, hard = map(int, limits["Max address space"])
        assert soft == hard <= memory_bytes(pid, "VmPeak") + MEMORY_BYTES, "its size after warm-up and the budget"
    assert codes(await pool.results([poisoned("write"), poisoned("memory")])) == {
        0: "internal-error",
        1: "out-of-memory",
    }


async def test_a_hang_in_a_zip_of_500_delays_the_others_by_one_timeout(pool: RunningPool) -> None:
    guilty = poisoned("busy")
    entries = [(f"{index}.png", guilty if index == 250 else digit) for index, digit in enumerate(drawn_digits(500))]
    await pool.is_whole_again()
    restarts = pool.restarts
    (part,) = await pool.parts(task(zipped(entries), partition=0))
    assert await eventually(lambda: pool.restarts - restarts) == 1
    results = results_of([part])
    assert [(result.item.index, result.item.name) for result in results] == [(i, f"{i}.png") for i in range(500)]
    assert {result.item.index: result.error.code for result in results if result.error} == {250: "worker-timeout"}
    ((record, letter),) = dead_letters_of([part])
    assert (letter.item_index, letter.error_code, record.value) == (250, "worker-timeout", guilty)


async def test_a_worker_killed_from_outside_fails_no_item(pool: RunningPool, tmp_path: Path) -> None:
    classifying = asyncio.create_task(pool.results([*DIGITS[:5], poisoned("wait", tmp_path), *DIGITS[5:]]))
    (pid,) = await eventually(lambda: poisoned_workers(tmp_path))
    os.kill(pid, signal.SIGKILL)
    results = await classifying
    assert [result.source.offset for result in results] == list(range(21))
    assert codes(results) == {}


async def test_a_worker_killed_while_it_is_idle_is_replaced_at_once(pool: RunningPool) -> None:
    before = pool.restarts
    idle = workers_of(os.getpid())
    assert len(idle) == WORKERS
    os.kill(idle[0], signal.SIGKILL)
    await eventually(lambda: pool.restarts == before + 1)
    await pool.is_whole_again()
    assert idle[0] not in workers_of(os.getpid())


async def test_while_one_worker_hangs_the_other_answers(pool: RunningPool, tmp_path: Path) -> None:
    await pool.is_whole_again()
    hanging = asyncio.create_task(pool.results([poisoned("busy", tmp_path)]))
    await eventually(lambda: poisoned_workers(tmp_path))
    assert codes(await pool.results(DIGITS)) == {}
    assert not hanging.done(), "the other worker still hangs"
    assert codes(await hanging) == {0: "worker-timeout"}


async def test_a_slow_batch_that_makes_progress_is_not_killed(pool: RunningPool) -> None:
    before, items = pool.restarts, int(1.5 * TIMEOUT_S / poison.SLOW_S) + 1
    seen_s = {pool.workers.progressed_at_s(0)}
    classifying = asyncio.create_task(pool.results([zipped([(f"{i}", poisoned("slow")) for i in range(items)])]))
    await eventually(lambda: seen_s.add(pool.workers.progressed_at_s(0)), lambda _: classifying.done())
    assert codes(await classifying) == {}
    assert pool.restarts == before
    assert len(seen_s) > items / 2, "health must see that it moves"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped model that a test may change."""
    return Path(shutil.copytree(default_model(), tmp_path / "model"))


def become_another_model(folder: Path) -> None:
    """Overwrite a model by another one, as valid as it was."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": "another"}))
    assert load(folder).info.version == "another"


def be_damaged(folder: Path) -> None:
    (folder / ARRAYS).write_bytes(b"")
    (folder / MANIFEST).unlink()


@pytest.mark.slow  # replaces all workers
@pytest.mark.parametrize("change", [become_another_model, be_damaged])
async def test_workers_keep_the_model_of_the_start_when_its_files_change(
    model: Path, change: Callable[[Path], None]
) -> None:
    async with running_pool(model=model) as pool:
        before = await pool.results(DIGITS)
        change(model)
        await replaced(pool)
        after = await pool.results(DIGITS)
        assert {result.model for result in [*before, *after]} == {before[0].model}


async def test_a_model_that_misreads_its_stored_digits_is_a_wrong_setting(model: Path) -> None:
    with np.load(model / ARRAYS) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(model / ARRAYS, **arrays | {"weights": arrays["weights"] * np.float16(1.1)})
    manifest = json.loads((model / MANIFEST).read_text())
    sha256 = hashlib.sha256((model / ARRAYS).read_bytes()).hexdigest()
    (model / MANIFEST).write_text(json.dumps(manifest | {"sha256": sha256}))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_pool(model=model):
            pytest.fail("it started")
    wrong = leaf_exceptions(caught.value)[0]
    assert isinstance(wrong, InvalidSettingError)
    assert str(wrong).startswith(f"DIGITS_MODEL='{model}': {model / ARRAYS}: the reference digits come out differently")


async def test_workers_import_nothing_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shadowing_packages(tmp_path)
    monkeypatch.chdir(tmp_path)
    async with running_pool() as pool:
        assert codes(await pool.results(DIGITS)) == {}


async def test_workers_that_cannot_start_end_the_service_after_a_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_pool():
            pytest.fail("it started")
    fatal = leaf_exceptions(caught.value)[0]
    assert isinstance(fatal, FatalError)
    assert str(fatal).startswith("worker processes do not start: ")
