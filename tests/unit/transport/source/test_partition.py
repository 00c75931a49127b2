"""What the source of a lane makes of a broker's answers."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from tests.unit.transport.source.batches import batch
from transport.errors import FatalError, OwnershipLost
from transport.source import partition as module
from transport.source.partition import CORRUPT_FETCHES, Fetched, PartitionSource, Pauses

PARTITION = TopicPartition("requests", 2)


def source(offset: int = 5) -> PartitionSource:
    return PartitionSource(PARTITION, offset, lambda: True, lambda _: None)


async def waiting(source: PartitionSource) -> asyncio.Task[Fetched]:
    fetching = asyncio.create_task(source.fetch())
    await asyncio.sleep(0)
    assert source.is_waiting
    return fetching


async def test_batches_and_markers_move_the_position() -> None:
    lane = source()
    fetching = await waiting(lane)
    lane.receive(batch(5, b"a", b"b"), None)
    fetched = await fetching
    assert ([each.header.base_offset for each in fetched.batches], fetched.from_offset) == ([5], 5)
    assert (fetched.next_offset, lane.offset) == (7, 7)


async def test_nothing_comes_back_after_a_while_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0)
    lane = source()
    fetching = await waiting(lane)
    lane.receive(b"", None)
    assert await fetching == ([], 5, 5)
    lane.receive(batch(5, b"a"), None)
    assert lane.offset == 5, "what comes while no fetch waits is fetched again"


async def test_a_checksum_that_stays_wrong_ends_the_service_with_the_offset() -> None:
    lane = source()
    damaged = bytearray(batch(5, b"a"))
    damaged[-1] ^= 1
    fetching = await waiting(lane)
    for _ in range(CORRUPT_FETCHES):
        assert not fetching.done()
        lane.receive(bytes(damaged), None)
        assert not lane.pauses.are_over
    with pytest.raises(FatalError, match=r"the log of requests/2 is damaged after offset 5"):
        await fetching


async def test_a_fetch_that_succeeds_ends_the_count_of_wrong_checksums() -> None:
    lane = source()
    damaged = bytearray(batch(5, b"a"))
    damaged[-1] ^= 1
    for _ in range(2):
        fetching = await waiting(lane)
        for _ in range(CORRUPT_FETCHES - 1):
            lane.receive(bytes(damaged), None)
        lane.receive(batch(lane.offset, b"a"), None)
        assert len((await fetching).batches) == 1


async def test_an_error_ends_the_fetch() -> None:
    lane = source()
    fetching = await waiting(lane)
    lane.fail(OwnershipLost("out of range"))
    with pytest.raises(OwnershipLost, match="out of range"):
        await fetching


def test_the_lag_is_known_once_a_broker_has_sent_the_stable_offset() -> None:
    lane = source()
    assert lane.lag_records() == 0
    lane.stable_offset = 12
    assert lane.lag_records() == 7


def test_pauses_grow_up_to_the_last_one_and_begin_again_after_a_success() -> None:
    pauses = Pauses()
    assert [pauses.next_s() for _ in range(6)] == [0.05, 0.1, 0.2, 0.4, 0.4, 0.4]
    pauses.reset()
    assert pauses.next_s() == 0.05
    pauses.begin()
    assert not pauses.are_over
