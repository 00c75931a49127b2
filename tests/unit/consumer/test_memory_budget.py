"""Bytes in hand stay within the budget, nobody waits for ever, nothing is taken twice or lost."""

from __future__ import annotations

import asyncio

import pytest

from consumer.memory_budget import MemoryBudget


async def waits(taking: asyncio.Task[None]) -> bool:
    """Tell whether it still waits once everything that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not taking.done()


async def test_what_fits_is_taken_at_once() -> None:
    budget = MemoryBudget(100)
    await budget.take(60)
    await budget.take(40)
    assert budget.taken_bytes == 100


async def test_what_does_not_fit_waits_until_enough_is_given_back() -> None:
    budget = MemoryBudget(100)
    await budget.take(60)
    await budget.take(30)
    third = asyncio.create_task(budget.take(50))
    assert await waits(third)
    budget.give_back(30)
    assert await waits(third)
    budget.give_back(60)
    assert not await waits(third)
    assert budget.taken_bytes == 50


async def test_more_than_the_whole_budget_is_admitted_when_nothing_else_is_in_hand() -> None:
    budget = MemoryBudget(100)
    await budget.take(1)
    huge = asyncio.create_task(budget.take(1_000))
    assert await waits(huge)
    budget.give_back(1)
    assert not await waits(huge)
    after_it = asyncio.create_task(budget.take(1))
    assert await waits(after_it)
    budget.give_back(1_000)
    assert not await waits(after_it)
    assert budget.taken_bytes == 1


async def test_a_large_record_is_not_overtaken_by_small_ones() -> None:
    budget = MemoryBudget(100)
    await budget.take(60)
    large = asyncio.create_task(budget.take(100))
    assert await waits(large)
    small = asyncio.create_task(budget.take(10))
    assert await waits(small)
    budget.give_back(60)
    assert not await waits(large)
    assert await waits(small)
    budget.give_back(100)
    assert not await waits(small)


async def test_who_stops_waiting_lets_those_behind_pass() -> None:
    budget = MemoryBudget(100)
    await budget.take(60)
    large = asyncio.create_task(budget.take(100))
    small = asyncio.create_task(budget.take(10))
    assert await waits(small)
    large.cancel()
    assert not await waits(small)
    assert large.cancelled()
    assert budget.taken_bytes == 70


async def test_who_is_cancelled_in_the_moment_of_being_served_takes_nothing() -> None:
    budget = MemoryBudget(100)
    await budget.take(100)
    taking = asyncio.create_task(budget.take(100))
    assert await waits(taking)
    budget.give_back(100)  # 1. it is served, but has not run since
    taking.cancel()  # 2. so its cancellation arrives first
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert budget.taken_bytes == 0


async def test_room_that_comes_in_the_moment_of_being_cancelled_goes_to_the_next() -> None:
    budget = MemoryBudget(100)
    await budget.take(100)
    taking = asyncio.create_task(budget.take(100))
    behind = asyncio.create_task(budget.take(30))
    assert await waits(behind)
    taking.cancel()  # 1. it has not run since
    budget.give_back(100)  # 2. there is room, and it stands first
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert not await waits(behind)
    assert budget.taken_bytes == 30


async def test_a_lane_holds_half_at_most_so_that_there_is_room_for_others() -> None:
    budget = MemoryBudget(100)
    await budget.take(40)
    flood = asyncio.create_task(budget.take(20, lambda: 40))
    assert await waits(flood)
    legal = asyncio.create_task(budget.take(20))
    assert not await waits(legal)
    assert budget.taken_bytes == 60
    budget.give_back(20)
    assert await waits(flood)
    flood.cancel()


async def test_a_lane_that_holds_nothing_may_take_more_than_half() -> None:
    budget = MemoryBudget(100)
    await budget.take(80)
    assert budget.taken_bytes == 80


async def test_who_holds_least_goes_first() -> None:
    budget = MemoryBudget(100)
    await budget.take(100)
    rich = asyncio.create_task(budget.take(20, lambda: 30))
    poor = asyncio.create_task(budget.take(20, lambda: 10))
    assert await waits(poor)
    budget.give_back(20)
    assert not await waits(poor)
    assert await waits(rich)
    rich.cancel()


async def test_it_is_told_when_answers_fit_again() -> None:
    budget = MemoryBudget(100)
    told: list[int] = []
    budget.when_answers_fit = lambda: told.append(budget.answers_bytes)
    budget.answered(100)
    assert budget.answers_fit
    budget.answered(1)
    assert not budget.answers_fit
    budget.published(1)
    budget.published(100)
    assert (told, budget.answers_fit) == ([100], True)
