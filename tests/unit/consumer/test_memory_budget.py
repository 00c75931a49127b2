"""Bytes in flight stay within the budget, no lane waits forever, nothing is counted twice or lost."""

from __future__ import annotations

import asyncio

import pytest

from consumer.memory_budget import MemoryBudget


async def waits(taking: asyncio.Task[None]) -> bool:
    """Return whether it still waits once everything that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not taking.done()


async def test_what_fits_is_taken_at_once() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(60)
    await budget.acquire(40)
    assert budget.acquired_bytes == 100


async def test_what_does_not_fit_waits_until_enough_is_given_back() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(60)
    await budget.acquire(30)
    third = asyncio.create_task(budget.acquire(50))
    assert await waits(third)
    budget.release(30)
    assert await waits(third)
    budget.release(60)
    assert not await waits(third)
    assert budget.acquired_bytes == 50


async def test_more_than_the_whole_budget_is_admitted_when_nothing_else_is_in_flight() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(1)
    huge = asyncio.create_task(budget.acquire(1_000))
    assert await waits(huge)
    budget.release(1)
    assert not await waits(huge)
    after_it = asyncio.create_task(budget.acquire(1))
    assert await waits(after_it)
    budget.release(1_000)
    assert not await waits(after_it)
    assert budget.acquired_bytes == 1


async def test_a_large_record_is_not_overtaken_by_small_ones() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(60)
    large = asyncio.create_task(budget.acquire(100))
    assert await waits(large)
    small = asyncio.create_task(budget.acquire(10))
    assert await waits(small)
    budget.release(60)
    assert not await waits(large)
    assert await waits(small)
    budget.release(100)
    assert not await waits(small)


async def test_a_cancelled_wait_lets_later_ones_pass() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(60)
    large = asyncio.create_task(budget.acquire(100))
    small = asyncio.create_task(budget.acquire(10))
    assert await waits(small)
    large.cancel()
    assert not await waits(small)
    assert large.cancelled()
    assert budget.acquired_bytes == 70


async def test_a_wait_cancelled_while_it_is_granted_takes_nothing() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(100)
    taking = asyncio.create_task(budget.acquire(100))
    assert await waits(taking)
    budget.release(100)  # 1. it is served, but has not run since
    taking.cancel()  # 2. so its cancellation arrives first
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert budget.acquired_bytes == 0


async def test_room_granted_to_a_cancelled_wait_goes_to_the_next() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(100)
    taking = asyncio.create_task(budget.acquire(100))
    later = asyncio.create_task(budget.acquire(30))
    assert await waits(later)
    taking.cancel()  # 1. it has not run since
    budget.release(100)  # 2. there is room, and it stands first
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert not await waits(later)
    assert budget.acquired_bytes == 30


async def test_a_lane_holds_half_of_the_budget_at_most() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(40)
    flood = asyncio.create_task(budget.acquire(20, lambda: 40))
    assert await waits(flood)
    legal = asyncio.create_task(budget.acquire(20))
    assert not await waits(legal)
    assert budget.acquired_bytes == 60
    budget.release(20)
    assert await waits(flood)
    flood.cancel()


async def test_a_lane_that_holds_nothing_may_take_more_than_half() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(80)
    assert budget.acquired_bytes == 80


async def test_the_lane_that_holds_least_is_served_first() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(100)
    rich = asyncio.create_task(budget.acquire(20, lambda: 30))
    poor = asyncio.create_task(budget.acquire(20, lambda: 10))
    assert await waits(poor)
    budget.release(20)
    assert not await waits(poor)
    assert await waits(rich)
    rich.cancel()


async def test_answers_are_promised_only_what_is_free_when_they_are_requested() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(40)
    budget.fetched_bytes += 10
    assert budget.promise(1_000, brokers=1) == 50
    assert budget.promise(1_000, brokers=1) == 0
    budget.withdraw(50)
    assert budget.promise(30, brokers=1) == 30
    assert budget.promise(30, brokers=1) == 20


async def test_nothing_is_promised_while_more_is_held_than_the_budget() -> None:
    budget = MemoryBudget(100)
    await budget.acquire(1_000)
    assert budget.promise(1, brokers=1) == 0
    budget.release(1_000)
    assert budget.promise(1, brokers=1) == 1


@pytest.mark.parametrize("brokers", [2, 3, 50])
async def test_each_broker_can_be_asked_while_the_others_wait_for_data(brokers: int) -> None:
    budget = MemoryBudget(64 * 1024)
    await budget.acquire(32 * 1024)
    promises = [budget.promise(16 * 1024, brokers) for _ in range(brokers)]
    assert min(promises) > 0
    assert sum(promises) <= 32 * 1024


async def test_a_wait_for_output_room_ends_when_answers_fit_again() -> None:
    budget = MemoryBudget(100)
    budget.reserve_output(100)
    assert budget.output_fits
    await budget.output_room()
    budget.reserve_output(1)
    assert not budget.output_fits
    waiting = asyncio.create_task(budget.output_room())
    assert await waits(waiting)
    budget.release_output(1)
    assert not await waits(waiting)
    budget.release_output(100)
    assert budget.output_fits
