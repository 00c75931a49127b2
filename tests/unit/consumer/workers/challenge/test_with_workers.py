"""The challenger in real worker processes: it reads when they are idle, and what it does costs no record anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consumer.workers.challenge import standing
from consumer.workers.processes import process
from engine.model.files import ModelFiles
from models import default_model
from tests.harness.images import drawn_digits
from tests.harness.models import not_finite_model, version_of, worse_model
from tests.harness.poison import PYTHONPATH, poisoned
from tests.harness.waiting import eventually
from tests.harness.worker_pool import RunningPool, running_pool

DIGITS = drawn_digits(20)
MANY = drawn_digits(200)


def restarts(pool: RunningPool, why: str) -> float:
    return float(pool.metrics.worker_restarts.labels(why)._value.get())


async def test_all_pictures_of_the_share_are_read_by_both_and_a_model_agrees_with_itself() -> None:
    async with running_pool(challenger=version_of("2")) as pool:
        results = await pool.results(DIGITS)
        await eventually(lambda: pool.challenges.compared + pool.challenges.skipped, lambda seen: seen == len(DIGITS))
        assert {result.model.version for result in results} == {ModelFiles.read(default_model()).info.version}
        assert pool.workers.challenger == version_of("2").info
        pairs = [pair for report in pool.challenges.reports for pair in report.compared]
    assert pairs
    assert {pair.champion == pair.challenger for pair in pairs} == {True}


async def test_disagreements_have_both_answers_and_the_bytes(tmp_path: Path) -> None:
    async with running_pool(challenger=worse_model("2", tmp_path / "worse")) as pool:
        results = await pool.results(MANY)
        disputed = await eventually(lambda: [each for report in pool.challenges.reports for each in report.disputed])
    one = disputed[0]
    assert one.data == MANY[one.offset]
    assert (one.champion.digit, one.champion.confidence) == (
        results[one.offset].digit,
        results[one.offset].confidence,
    )
    assert (one.champion.status, one.champion.digit) != (one.challenger.status, one.challenger.digit)


async def test_batches_that_follow_one_another_are_answered_and_what_is_not_read_is_counted() -> None:
    async with running_pool(challenger=version_of("2")) as pool:
        await asyncio.gather(*(pool.results(DIGITS) for _ in range(20)))
        total = 20 * len(DIGITS)
        await eventually(lambda: pool.challenges.compared + pool.challenges.skipped, lambda seen: seen == total)
        assert pool.restarts == 0


@pytest.mark.parametrize("effect", ["segfault", "memory", "internal"])
async def test_a_challenger_that_fails_at_a_picture_costs_no_answer(
    monkeypatch: pytest.MonkeyPatch, effect: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    async with running_pool(challenger=version_of("2")) as pool:
        results = await pool.results([poisoned(f"challenged {effect}"), DIGITS[0]])
        assert [result.status for result in results] == ["recognised"] * 2
        if effect == "segfault":
            await eventually(lambda: restarts(pool, "challenger"), lambda seen: seen == 1)
        else:
            await eventually(lambda: pool.challenges.compared, lambda seen: seen == 2)
        more = await pool.results(DIGITS)
        assert [result.status for result in more] == ["recognised"] * len(DIGITS)
        assert restarts(pool, "worker-crashed") == 0


async def test_a_challenger_that_ends_workers_again_and_again_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    async with running_pool(challenger=version_of("2")) as pool:
        for death in range(1, standing.MOST_DEATHS + 1):
            assert pool.workers.challenger_problem == ""
            await pool.results([poisoned("challenged segfault")])
            await eventually(lambda: restarts(pool, "challenger"), float(death).__eq__)
            await pool.is_whole_again()
        assert pool.workers.challenger is None
        assert "3 workers have ended by it" in pool.workers.challenger_problem
        assert [result.status for result in await pool.results(DIGITS)] == ["recognised"] * len(DIGITS)


async def test_a_challenger_that_hangs_loses_its_worker_and_the_next_batch_is_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    monkeypatch.setattr(process, "CHALLENGE_S", 0.2)
    async with running_pool(challenger=version_of("2")) as pool:

        async def replaced() -> float:
            answered = await asyncio.gather(*(pool.results(DIGITS[:5]) for _ in range(6)))
            assert {result.status for results in answered for result in results} == {"recognised"}
            seen = restarts(pool, "challenger")
            await pool.results([poisoned("challenged busy")])  # a worker hangs, unless another batch comes at once
            return seen

        await eventually(replaced, lambda seen: seen >= 1)
        assert (restarts(pool, "worker-timeout"), restarts(pool, "worker-crashed")) == (0, 0)


async def test_a_challenger_that_is_not_sound_is_left_out_and_the_workers_serve() -> None:
    async with running_pool(challenger=not_finite_model("2")) as pool:
        assert pool.workers.challenger_problem
        assert pool.workers.challenger is None
        assert [result.status for result in await pool.results(DIGITS)] == ["recognised"] * len(DIGITS)
        assert (pool.challenges.reports, pool.restarts) == ([], 0)
