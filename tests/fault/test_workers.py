"""A worker may die or hang at any time: the guilty item fails, all others come through, the pool comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consumer.channel import WHOLE_RECORD
from consumer.errors import Fatal, leaves
from contract.errors import ErrorCode
from contract.records import Result, read_result
from models import default_model
from tests.fault.pools import WORKERS, RunningPool, running_pool, task
from tests.harness import poison
from tests.harness.images import drawn_digits, zipped
from tests.harness.poison import poisoned, poisoned_workers
from tests.harness.processes import is_alive, workers_of
from tests.harness.waiting import eventually

TIMEOUT_S = 2.0
DIGITS = drawn_digits(20)


@pytest.fixture(scope="module", autouse=True)
def _workers_fall_for_poison() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", poison.PYTHONPATH)
        yield


@pytest.fixture(scope="module")
async def shared_pool() -> AsyncIterator[RunningPool]:
    async with running_pool(item_timeout_s=TIMEOUT_S, memory_bytes=256 * 1024 * 1024) as running:
        yield running


@pytest.fixture
async def pool(shared_pool: RunningPool) -> AsyncIterator[RunningPool]:
    """The pool that all tests share: whatever one has done to it, it comes back for the next."""
    yield shared_pool
    await shared_pool.is_whole_again()
    assert all(result.error is None for result in await shared_pool.results(DIGITS))


def codes(results: list[Result]) -> dict[int, str]:
    """Give the codes of those that failed, by offset."""
    return {result.source.offset: result.error.code for result in results if result.error}


def with_poison(effect: str, at: int) -> list[bytes]:
    return [*DIGITS[:at], poisoned(effect), *DIGITS[at + 1 :]]


@pytest.mark.parametrize("effect", ["segfault", "kill"])
async def test_an_image_that_crashes_its_worker_fails_alone(pool: RunningPool, effect: str) -> None:
    results = await pool.results(with_poison(effect, at=7))
    assert [result.source.offset for result in results] == list(range(20))
    assert codes(results) == {7: "worker-crashed"}


@pytest.mark.parametrize("effect", ["busy", "stop"])
async def test_an_image_that_hangs_its_worker_fails_alone_after_one_timeout(pool: RunningPool, effect: str) -> None:
    begun_s = time.monotonic()
    results = await pool.results(with_poison(effect, at=7))
    assert TIMEOUT_S <= time.monotonic() - begun_s < 2 * TIMEOUT_S
    assert [result.source.offset for result in results] == list(range(20))
    assert codes(results) == {7: "worker-timeout"}


@pytest.mark.parametrize(("effect", "code"), [("memory", "out-of-memory"), ("internal", "internal-error")])
async def test_an_image_that_takes_too_much_memory_or_breaks_its_decoder_costs_no_worker(
    pool: RunningPool, effect: str, code: str
) -> None:
    before = pool.restarts
    assert codes(await pool.results(with_poison(effect, at=7))) == {7: code}
    assert pool.restarts == before


async def test_several_poisoned_images_of_a_batch_fail_and_no_other(pool: RunningPool) -> None:
    batch = [*DIGITS[:3], poisoned("kill"), *DIGITS[:3], poisoned("segfault"), *DIGITS[:3]]
    results = await pool.results(batch)
    assert [result.source.offset for result in results] == list(range(11))
    assert codes(results) == {3: "worker-crashed", 7: "worker-crashed"}


@pytest.mark.parametrize(("effect", "code"), [("kill", "worker-crashed"), ("busy", "worker-timeout")])
async def test_batches_that_share_a_worker_with_poison_come_through(pool: RunningPool, effect: str, code: str) -> None:
    occupied = [asyncio.create_task(pool.results([poisoned("slow")])) for _ in range(WORKERS)]
    waiting = [pool.results(DIGITS[:5]) for _ in range(6)]  # behind those, so that a worker takes them together
    *innocent, guilty, last = await asyncio.gather(
        *waiting, pool.results(with_poison(effect, at=7)), pool.results(DIGITS)
    )
    assert codes(guilty) == {7: code}
    assert [codes(results) for results in (*innocent, last, *await asyncio.gather(*occupied))] == [{}] * 9


async def test_records_that_are_refused_unread_do_not_shift_the_blame(pool: RunningPool) -> None:
    refused = {WHOLE_RECORD: str(ErrorCode.EMPTY_RECORD)}
    batch = [task(b"", 0, refused), task(DIGITS[0], 1), task(poisoned("busy"), 2), task(DIGITS[0], 3)]
    results = [read_result(result) for answer in await pool.pool.classify(batch) for result in answer.results]
    assert codes(results) == {0: "empty-record", 2: "worker-timeout"}


@pytest.mark.parametrize(("effect", "code"), [("segfault", "worker-crashed"), ("busy", "worker-timeout")])
async def test_of_a_zip_of_500_the_guilty_entry_alone_is_lost(pool: RunningPool, effect: str, code: str) -> None:
    guilty = poisoned(effect)
    entries = [(f"{index}.png", guilty if index == 250 else digit) for index, digit in enumerate(drawn_digits(500))]
    begun_s = time.monotonic()
    (answer,) = await pool.answers([zipped(entries)])
    if code == "worker-timeout":
        assert time.monotonic() - begun_s < 2 * TIMEOUT_S
    results = [read_result(result) for result in answer.results]
    assert [(result.item.index, result.item.name) for result in results] == [(i, f"{i}.png") for i in range(500)]
    assert {result.item.index: result.error.code for result in results if result.error} == {250: code}
    (letter,) = answer.dead_letters
    assert (letter.index, letter.code, letter.data) == (250, code, guilty)


async def test_a_zip_with_more_poison_than_is_borne_is_lost_as_a_whole(
    pool: RunningPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.pool.CONDEMNED_PER_RECORD", 1)
    entries = [("good.png", DIGITS[0]), ("1.png", poisoned("kill")), ("2.png", poisoned("kill"))]
    (answer,) = await pool.answers([zipped(entries)])
    (result,) = map(read_result, answer.results)
    assert result.error is not None
    assert (result.item.index, result.item.count, result.error.code) == (0, 1, "worker-crashed")
    assert [letter.whole for letter in answer.dead_letters] == [True]


async def test_a_worker_killed_from_outside_in_the_middle_costs_no_item(pool: RunningPool, tmp_path: Path) -> None:
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


async def test_while_one_worker_hangs_the_other_answers(pool: RunningPool) -> None:
    hanging = asyncio.create_task(pool.results([poisoned("busy")]))
    begun_s = time.monotonic()
    assert codes(await pool.results(DIGITS)) == {}
    assert time.monotonic() - begun_s < TIMEOUT_S
    assert codes(await hanging) == {0: "worker-timeout"}


async def test_a_batch_that_takes_longer_than_the_timeout_but_moves_is_left_alone(pool: RunningPool) -> None:
    before, items = pool.restarts, int(1.5 * TIMEOUT_S / poison.SLOW_S) + 1
    seen_s = {pool.pool.progressed_at_s}
    classifying = asyncio.create_task(pool.results([zipped([(f"{i}", poisoned("slow")) for i in range(items)])]))
    await eventually(lambda: seen_s.add(pool.pool.progressed_at_s), lambda _: classifying.done())
    assert codes(await classifying) == {}
    assert pool.restarts == before
    assert len(seen_s) > items / 2, "health must see that it moves"


async def test_a_batch_whose_lane_has_ended_is_dropped_and_harms_nobody(pool: RunningPool, tmp_path: Path) -> None:
    running = asyncio.create_task(pool.results([poisoned("wait", tmp_path)]))
    (pid,) = await eventually(lambda: poisoned_workers(tmp_path))
    running.cancel()
    await asyncio.wait({running})
    assert codes(await pool.results(DIGITS)) == {}
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not is_alive(pid))


async def test_workers_that_die_on_everything_are_the_services_fault() -> None:
    async with running_pool(service_faults=2) as running:
        each_alone = [asyncio.create_task(running.results([poisoned("kill")])) for _ in range(3)]
        ended, others = await asyncio.wait(each_alone, return_when=asyncio.FIRST_EXCEPTION)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    (error,) = [error for each in ended if (error := each.exception())]
    (fatal,) = leaves(error)
    assert isinstance(fatal, Fatal)
    assert str(fatal).startswith("2 items in a row failed alone (last: worker ")
    assert str(fatal).endswith("so the service is at fault, not the records: nothing of them is committed")
    assert len(ended) <= 2, "more dead letters than faults that are borne"


async def test_failures_in_a_row_count_only_while_nothing_comes_through() -> None:
    bad, good = [poisoned("internal")], [DIGITS[0]]
    async with running_pool(service_faults=3) as running:
        for payloads in (bad, bad, good, bad, bad, good, [*bad, *good, *bad], bad):
            await running.results(payloads)
        with pytest.raises(Fatal, match=r"3 items in a row failed alone \(last: internal errors\)"):
            await running.results(bad)


async def test_a_damaged_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(default_model(), model)
    arrays = next(model.glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_pool(model=model):
            pytest.fail("it started")
    fatal = leaves(caught.value)[0]
    assert isinstance(fatal, Fatal)
    assert str(arrays) in str(fatal)


async def test_workers_that_cannot_start_end_the_service_after_a_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_pool():
            pytest.fail("it started")
    fatal = leaves(caught.value)[0]
    assert isinstance(fatal, Fatal)
    assert str(fatal).startswith("worker processes do not start: ")


@pytest.mark.parametrize("doing", ["idle", "busy", "stop"])
async def test_no_worker_outlives_a_killed_parent(tmp_path: Path, doing: str) -> None:
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fault.host"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert host.stdin is not None
    assert host.stdout is not None
    try:
        assert await host.stdout.readline() == b"ready\n"
        workers = workers_of(host.pid)
        assert len(workers) == WORKERS
        if doing == "busy":  # in C code that holds the interpreter's lock
            host.stdin.write(poisoned("busy", tmp_path))
            host.stdin.close()
            await eventually(lambda: poisoned_workers(tmp_path))
        elif doing == "stop":
            os.kill(workers[0], signal.SIGSTOP)
    finally:
        host.kill()
        await host.wait()
    await eventually(lambda: [pid for pid in workers if is_alive(pid)], lambda left: not left)
