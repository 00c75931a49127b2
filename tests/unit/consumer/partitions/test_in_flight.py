"""What a lane holds: in order, within its room, and every byte given back once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from consumer.memory_budget import MemoryBudget
from consumer.observe.metrics import Metrics
from consumer.partitions.in_flight import CHUNKS_IN_HAND, Chunk, Classified, InFlightWindow
from consumer.partitions.requests import Request
from consumer.workers.protocol import Task

CHUNK_BYTES = 10


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(10_000)


@pytest.fixture
def hand(budget: MemoryBudget) -> InFlightWindow:
    return InFlightWindow(budget, Metrics())


async def answer_at_once() -> Classified:
    return Classified([], 0.0)


async def add(hand: InFlightWindow, offset: int, answering: Coroutine[Any, Any, Classified] | None = None) -> Chunk:
    task = Task(b"", "requests", 0, offset, 0, 0, None, None)
    request = Request(task, None, None, [], None, [], 0.0, CHUNK_BYTES)
    chunk = Chunk([request], asyncio.create_task(answering or answer_at_once()), CHUNK_BYTES, offset + 1)
    await hand.make_room(CHUNK_BYTES)
    hand.add(chunk)
    return chunk


async def test_chunks_come_out_from_the_front_as_far_as_their_answers_are_there(hand: InFlightWindow) -> None:
    gate = asyncio.Event()

    async def answer_later() -> Classified:
        await gate.wait()
        return Classified([], 0.0)

    first, second = await add(hand, 0), await add(hand, 1)
    third = await add(hand, 2, answer_later())
    fourth = await add(hand, 3)
    await asyncio.wait({first.answers, second.answers, fourth.answers})
    assert await hand.first() is first
    assert hand.answered(1_000) == [first, second]
    gate.set()
    await third.answers
    assert hand.answered(1_000) == [first, second, third, fourth]
    assert hand.answered(2 * CHUNK_BYTES) == [first, second]
    assert hand.answered(1) == [first], "one that is too large goes alone"


async def test_what_is_released_or_dropped_gives_its_bytes_back_once(
    hand: InFlightWindow, budget: MemoryBudget
) -> None:
    chunks = [await add(hand, offset) for offset in range(3)]
    assert (budget.taken_bytes, hand.records) == (30, 3)
    hand.release(1)
    assert (budget.taken_bytes, hand.records) == (20, 2)
    hand.drop()
    hand.drop()
    assert (budget.taken_bytes, hand.records) == (0, 0)
    await asyncio.wait({chunk.answers for chunk in chunks})
    assert [chunk.answers.cancelled() for chunk in chunks] == [False, True, True]


async def test_there_is_room_for_so_many_chunks_and_no_more(hand: InFlightWindow) -> None:
    for offset in range(CHUNKS_IN_HAND):
        await add(hand, offset)
    waiting = asyncio.create_task(add(hand, CHUNKS_IN_HAND))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    hand.release(1)
    await waiting
    assert hand.records == CHUNKS_IN_HAND
    hand.drop()


async def test_who_waits_for_the_first_chunk_is_woken_by_it_or_by_the_end(hand: InFlightWindow) -> None:
    waiting = asyncio.create_task(hand.first())
    await asyncio.sleep(0)
    chunk = await add(hand, 0)
    assert await waiting is chunk
    hand.release(1)
    waiting = asyncio.create_task(hand.first())
    await asyncio.sleep(0)
    hand.complete()
    assert await waiting is None


async def test_after_the_end_what_is_held_still_comes_first(hand: InFlightWindow) -> None:
    chunk = await add(hand, 0)
    hand.complete()
    assert await hand.first() is chunk
    hand.release(1)
    assert await hand.first() is None
