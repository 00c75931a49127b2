"""The in-flight window: chunks in order, limited in number, and each byte released once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from consumer.memory_budget import MemoryBudget
from consumer.partitions.in_flight import MAX_CHUNKS, Chunk, Classified, InFlightWindow
from consumer.partitions.requests import Request
from consumer.workers.protocol import Answer, Task

CHUNK_BYTES = 10


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(10_000)


@pytest.fixture
def window(budget: MemoryBudget) -> InFlightWindow:
    return InFlightWindow(budget)


async def answer_at_once() -> Classified:
    return Classified([], 0.0)


async def add(window: InFlightWindow, offset: int, answering: Coroutine[Any, Any, Classified] | None = None) -> Chunk:
    task = Task(b"", "requests", 0, offset, 0, 0, None, None)
    request = Request(task, None, None, [], None, [], 0.0, CHUNK_BYTES)
    chunk = Chunk([request], asyncio.create_task(answering or answer_at_once()), CHUNK_BYTES, offset + 1)
    await window.acquire(CHUNK_BYTES)
    window.add(chunk)
    return chunk


async def test_chunks_come_out_from_the_front_as_far_as_their_answers_are_there(window: InFlightWindow) -> None:
    gate = asyncio.Event()

    async def answer_later() -> Classified:
        await gate.wait()
        return Classified([], 0.0)

    first, second = await add(window, 0), await add(window, 1)
    third = await add(window, 2, answer_later())
    fourth = await add(window, 3)
    await asyncio.wait({first.answers, second.answers, fourth.answers})
    assert await window.first() is first
    assert window.answered(1_000) == [first, second]
    gate.set()
    await third.answers
    assert window.answered(1_000) == [first, second, third, fourth]
    assert window.answered(2 * CHUNK_BYTES) == [first, second]
    assert window.answered(1) == [first], "one that is too large goes alone"


async def test_what_is_released_or_dropped_gives_its_bytes_back_once(
    window: InFlightWindow, budget: MemoryBudget
) -> None:
    chunks = [await add(window, offset) for offset in range(3)]
    assert (budget.acquired_bytes, window.records) == (30, 3)
    window.release(1)
    assert (budget.acquired_bytes, window.records) == (20, 2)
    window.drop()
    window.drop()
    assert (budget.acquired_bytes, window.records) == (0, 0)
    await asyncio.wait({chunk.answers for chunk in chunks})
    assert [chunk.answers.cancelled() for chunk in chunks] == [False, True, True]


async def test_the_window_has_room_for_a_limited_number_of_chunks(window: InFlightWindow) -> None:
    for offset in range(MAX_CHUNKS):
        await add(window, offset)
    waiting = asyncio.create_task(add(window, MAX_CHUNKS))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    window.release(1)
    await waiting
    assert window.records == MAX_CHUNKS
    window.drop()


async def test_the_first_chunk_and_the_end_each_wake_the_task_that_waits(window: InFlightWindow) -> None:
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    chunk = await add(window, 0)
    assert await waiting is chunk
    window.release(1)
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    window.close()
    assert await waiting is None


async def test_a_closed_window_still_gives_the_chunks_that_it_has(window: InFlightWindow) -> None:
    chunk = await add(window, 0)
    window.close()
    assert await window.first() is chunk
    window.release(1)
    assert await window.first() is None


async def test_output_is_counted_until_its_chunk_is_released_or_dropped(
    window: InFlightWindow, budget: MemoryBudget
) -> None:
    answers = [Answer([b"12345"], [], 1, 0, 5)]

    async def answer() -> Classified:
        window.reserve_output(answers)
        return Classified(answers, 0.0)

    chunks = [await add(window, offset, answer()) for offset in range(2)]
    await asyncio.wait({chunk.answers for chunk in chunks})
    assert budget.output_bytes == 10
    window.release(1)
    assert budget.output_bytes == 5
    window.drop()
    assert budget.output_bytes == 0
