"""How fetched batches are cut into tasks: by records and bytes in their headers, never within a batch."""

from __future__ import annotations

from typing import Any

import pytest

from consumer.partitions.chunks import BATCH_OVERHEAD_BYTES, Cut, cut
from consumer.settings import PacingSettings, Settings
from tests.harness.memory import PARTITION, record
from transport.batches.layout import HEADER_BYTES
from transport.batches.splitting import RawBatch
from transport.source.partition import Fetched

MIB = 1024 * 1024


def cuts(*batches: RawBatch, first: int = 0, next_offset: int | None = None, **pacing: Any) -> list[Cut]:
    end = batches[-1].header.last_offset + 1 if next_offset is None else next_offset
    settings = Settings(pacing=PacingSettings(**pacing))
    return list(cut(PARTITION, Fetched(list(batches), first, end), settings, dead_letter_bytes=7))


def spans(of: list[Cut]) -> list[tuple[int, int, int]]:
    """Give first offset, next offset and number of batches of each task."""
    return [(each.task.first_offset, each.task.next_offset, len(each.task.batches)) for each in of]


def test_batches_are_joined_up_to_the_records_of_a_chunk() -> None:
    batches = [record(offset, count=2) for offset in (0, 2, 4, 6, 8)]
    found = cuts(*batches, chunk_records=4)
    assert spans(found) == [(0, 4, 2), (4, 8, 2), (8, 10, 1)]
    assert [each.records for each in found] == [each.task.records for each in found] == [4, 4, 2]


def test_batches_are_joined_up_to_the_bytes_of_a_chunk() -> None:
    batches = [record(offset, bytes(400)) for offset in range(5)]
    found = cuts(*batches, chunk_bytes=1_024)
    assert spans(found) == [(0, 2, 2), (2, 4, 2), (4, 5, 1)]
    assert found[0].size_bytes == sum(len(each.data) for each in batches[:2]) + 2 * BATCH_OVERHEAD_BYTES


def test_a_large_batch_goes_alone() -> None:
    found = cuts(record(0), record(1, count=1_000), record(1_001), chunk_records=10)
    assert spans(found) == [(0, 1, 1), (1, 1_001, 1), (1_001, 1_002, 1)]


def test_records_before_the_fetch_position_are_not_read_again() -> None:
    (found,) = cuts(record(0, count=10), first=7)
    assert (found.task.first_offset, found.records) == (7, 3)


def test_the_last_task_ends_after_the_markers_that_follow_it() -> None:
    found = cuts(record(0), record(5), next_offset=9, chunk_records=1)
    assert spans(found) == [(0, 1, 1), (1, 9, 1)]


def test_nothing_makes_no_task() -> None:
    assert cuts(next_offset=3) == []


def test_of_a_batch_that_no_worker_can_receive_only_the_header_goes_there() -> None:
    large = record(0, bytes(17 * MIB))
    settings = Settings(worker_memory_bytes=64 * MIB)
    (found,) = cut(PARTITION, Fetched([large], 0, 1), settings, dead_letter_bytes=7)
    assert found.task.size_bytes == HEADER_BYTES
    assert found.size_bytes > 17 * MIB, "its bytes are in memory all the same"


@pytest.mark.parametrize("next_offset", [1, 4])
def test_a_task_knows_when_it_was_fetched_and_what_the_dead_letter_topic_takes(next_offset: int) -> None:
    (found,) = cuts(record(0), next_offset=next_offset)
    assert (found.task.topic, found.task.partition, found.task.dead_letter_bytes) == (*PARTITION, 7)
    assert found.task.received_at_ms > 1_700_000_000_000
    assert found.oldest_at_ms == 0
