"""The in-flight window: parts in order, chunks limited in number, and each byte released once."""

from __future__ import annotations

import asyncio

import pytest

from consumer.memory_budget import MemoryBudget
from consumer.partitions.in_flight import MAX_CHUNKS, PARTS_BYTES, Chunk, InFlightWindow
from consumer.workers.tasks import Part
from tests.harness.memory import PARTITION
from tests.harness.tasks import task

CHUNK_BYTES = 10
PART_BYTES = 5


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(10_000)


@pytest.fixture
def window(budget: MemoryBudget) -> InFlightWindow:
    return InFlightWindow(budget)


async def add(window: InFlightWindow, offset: int, *, records: int = 1) -> Chunk:
    """Add a chunk that is not answered."""
    chunk = Chunk(task(*[b""] * records, offset=offset), records, CHUNK_BYTES, 1_000 + offset, 0.0)
    await window.acquire(CHUNK_BYTES)
    window.add(chunk)
    return chunk


def deliver(window: InFlightWindow, chunk: Chunk, *next_offsets: int, size_bytes: int = PART_BYTES) -> None:
    """Answer a chunk in parts of one record each; as a whole, if no offsets are given."""
    for next_offset in next_offsets or (chunk.task.next_offset,):
        window.deliver(chunk, Part(next_offset, [bytearray(size_bytes)], records=1))


def offsets(window: InFlightWindow, limit_bytes: int) -> list[int]:
    return [ready.part.next_offset for ready in window.ready(limit_bytes)]


async def test_parts_come_out_from_the_front_as_far_as_they_are_there(window: InFlightWindow) -> None:
    first, second, third, fourth = [await add(window, offset) for offset in range(4)]
    for chunk in (second, first, fourth):
        deliver(window, chunk)
    ready = await window.first()
    assert ready is not None
    assert ready.part.next_offset == 1
    assert offsets(window, 1_000) == [1, 2]
    deliver(window, third)
    assert offsets(window, 1_000) == [1, 2, 3, 4]
    assert offsets(window, 2 * PART_BYTES) == [1, 2]
    assert offsets(window, 1) == [1], "one that is too large goes alone"


async def test_parts_of_a_chunk_come_out_before_it_is_answered_as_a_whole(
    window: InFlightWindow, budget: MemoryBudget
) -> None:
    begun, other = await add(window, 0, records=3), await add(window, 3)
    deliver(window, other)
    deliver(window, begun, 1, 2)
    assert offsets(window, 1_000) == [1, 2], "what is after it waits"
    window.release(2)
    assert (window.records, budget.acquired_bytes, budget.output_bytes) == (2, 20, 5)
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    assert not waiting.done()
    deliver(window, begun, 3)
    ready = await waiting
    assert ready is not None
    assert ready.part.next_offset == 3
    window.release(2)
    assert (window.records, budget.acquired_bytes, budget.output_bytes) == (0, 0, 0)


async def test_what_is_released_or_dropped_gives_its_bytes_back_once(
    window: InFlightWindow, budget: MemoryBudget
) -> None:
    chunks = [await add(window, offset) for offset in range(3)]
    for chunk in chunks:
        chunk.classifying = asyncio.create_task(asyncio.sleep(60))
    assert (budget.acquired_bytes, window.records) == (30, 3)
    assert window.oldest_at_ms == 1_000
    for chunk in chunks[:2]:
        deliver(window, chunk)
    assert budget.output_bytes == 2 * PART_BYTES
    window.release(1)
    assert (budget.acquired_bytes, budget.output_bytes, window.records) == (20, 5, 2)
    assert window.oldest_at_ms == 1_001
    window.drop()
    window.drop()
    assert (budget.acquired_bytes, budget.output_bytes, window.records) == (0, 0, 0)
    assert window.oldest_at_ms is None
    for chunk in chunks:
        assert chunk.classifying is not None
    tasks = [chunk.classifying for chunk in chunks if chunk.classifying is not None]
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert all(each.cancelled() for each in tasks)


async def test_the_window_has_room_for_a_limited_number_of_chunks(window: InFlightWindow) -> None:
    first, *_ = [await add(window, offset) for offset in range(MAX_CHUNKS)]
    waiting = asyncio.create_task(add(window, MAX_CHUNKS))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    deliver(window, first)
    window.release(1)
    await waiting
    assert window.records == MAX_CHUNKS
    window.drop()


async def test_the_first_part_and_the_end_each_wake_the_task_that_waits(window: InFlightWindow) -> None:
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    deliver(window, await add(window, 0))
    assert await waiting is not None
    window.release(1)
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    window.close()
    assert await waiting is None


async def test_a_closed_window_still_gives_the_chunks_that_it_has(window: InFlightWindow) -> None:
    chunk = await add(window, 0)
    window.close()
    waiting = asyncio.create_task(window.first())
    await asyncio.sleep(0)
    assert not waiting.done()
    deliver(window, chunk)
    assert await waiting is not None
    window.release(1)
    assert await window.first() is None


async def test_a_chunk_has_room_again_when_enough_of_it_is_published(window: InFlightWindow) -> None:
    chunk = await add(window, 0, records=3)
    deliver(window, chunk, 1)
    await window.room_in(chunk)
    deliver(window, chunk, 2, size_bytes=PARTS_BYTES)
    waiting = asyncio.create_task(window.room_in(chunk))
    await asyncio.sleep(0)
    assert not waiting.done()
    window.release(1)
    await waiting


async def test_a_chunk_without_records_only_moves_the_offset(window: InFlightWindow, budget: MemoryBudget) -> None:
    await window.acquire(0)
    window.add(Chunk.without_records(PARTITION, 7))
    assert offsets(window, 1_000) == [7]
    assert (window.records, window.oldest_at_ms) == (0, None)
    window.release(1)
    assert window.is_empty
    assert (budget.acquired_bytes, budget.output_bytes) == (0, 0)
