"""What `digit-producer status` computes from two snapshots."""

from __future__ import annotations

from aiokafka import TopicPartition

from producer.status import Snapshot, partition_progress
from transport.admin.cluster import ConsumerGroup, GroupMember
from transport.reading.log_reader import OffsetRange

FIRST, SECOND = TopicPartition("requests", 0), TopicPartition("requests", 1)
MEMBER = GroupMember("aiokafka-1", "aiokafka", "10.0.0.1", frozenset({FIRST}))


def snapshot(at_s: float, *, end: int, committed: dict[TopicPartition, int], start: int = 0) -> Snapshot:
    logs = {SECOND: OffsetRange(start, 10), FIRST: OffsetRange(start, end)}
    return Snapshot(ConsumerGroup("Stable", [MEMBER]), logs, committed, at_s)


def test_rates_are_differences_of_two_snapshots_by_the_time_between_them() -> None:
    before, now = snapshot(5, end=100, committed={FIRST: 40}), snapshot(7, end=160, committed={FIRST: 60})
    first, second = partition_progress(now, before)
    assert (first.partition, first.committed, first.lag, first.owner) == (0, 60, 100, MEMBER)
    assert (first.written_per_s, first.answered_per_s) == (30, 10)
    assert (second.partition, second.committed, second.lag, second.owner) == (1, None, 10, None)
    assert (second.written_per_s, second.answered_per_s) == (0, 0)


def test_what_retention_has_deleted_does_not_count_as_lag() -> None:
    before, now = snapshot(5, end=10, committed={FIRST: 2}), snapshot(6, end=10, committed={FIRST: 2}, start=4)
    assert [row.lag for row in partition_progress(now, before)] == [6, 6]
