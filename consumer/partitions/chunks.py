"""Cuts fetched batches into tasks for the workers. No record is parsed: what counts are the headers of the batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from consumer.settings import RECEIVED_SHARE, Settings
from consumer.workers.tasks import Task, records_between
from transport.batches.layout import HEADER_BYTES
from transport.batches.splitting import RawBatch
from transport.source.partition import Fetched

BATCH_OVERHEAD_BYTES: Final = 512
"""Counted for each batch in addition to its bytes: the Python objects around it."""


class Cut(NamedTuple):
    """A task, and what it counts."""

    task: Task
    records: int
    """At most; fewer if compaction has removed some."""
    size_bytes: int
    """In the memory budget."""
    oldest_at_ms: int
    """Timestamp of the first record of its first batch, in ms since 1970."""
    fetched_s: float
    """On the monotonic clock."""


def cut(partition: TopicPartition, fetched: Fetched, settings: Settings, dead_letter_bytes: int) -> Iterator[Cut]:
    """Cut what was fetched into tasks, in order. Each has at least one batch; a batch is never cut.

    Parameters
    ----------
    partition, fetched
        What was fetched just now.
    settings
        The most records and bytes of a task with more than one batch, and the most that a worker can receive.
    dead_letter_bytes
        The largest record that the dead-letter topic takes.
    """
    groups = list(_groups(fetched, settings))
    now_ms, now_s = time.time_ns() // 1_000_000, time.monotonic()
    most_bytes = settings.worker_memory_bytes // RECEIVED_SHARE
    first_offset = fetched.from_offset
    for group in groups:
        next_offset = fetched.next_offset if group is groups[-1] else group[-1].header.last_offset + 1
        data = [each.data if len(each.data) <= most_bytes else each.data[:HEADER_BYTES] for each in group]
        yield Cut(
            Task(partition.topic, partition.partition, data, first_offset, next_offset, now_ms, dead_letter_bytes),
            sum(records_between(each.header, first_offset, next_offset) for each in group),
            sum(len(each.data) + BATCH_OVERHEAD_BYTES for each in group),
            _first_ms(group[0]),
            now_s,
        )
        first_offset = next_offset


def _groups(fetched: Fetched, settings: Settings) -> Iterator[list[RawBatch]]:
    pacing = settings.pacing
    group: list[RawBatch] = []
    records = size_bytes = 0
    for batch in fetched.batches:
        more = records_between(batch.header, fetched.from_offset, fetched.next_offset)
        records, size_bytes = records + more, size_bytes + len(batch.data)
        if group and (records > pacing.chunk_records or size_bytes > pacing.chunk_bytes):
            yield group
            group, records, size_bytes = [], more, len(batch.data)
        group.append(batch)
    if group:
        yield group


def _first_ms(batch: RawBatch) -> int:
    header = batch.header
    return header.max_timestamp_ms if header.has_log_append_time else header.first_timestamp_ms
