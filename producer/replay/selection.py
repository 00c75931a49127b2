"""Selects the dead letters that a replay sends, in order, and says why one cannot be sent.

A consumer group that is named after the filter keeps the progress of a replay as its committed offsets. So the same
filter continues after them, and another filter starts from the beginning.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from contract import headers
from producer.replay.dead_letter_topic import DeadLetterRecord, Filter, UnknownRecord, read_dead_letters
from transport.admin.cluster import ClusterAdmin
from transport.reading.log_reader import OffsetRange, offset_ranges
from transport.record_batch import batch_bytes
from transport.settings.kafka import ClientSettings

_HEADERS_OF_ARCHIVE: Final = (headers.FILENAME, headers.CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of `digit-producer replay`."""

    filter: Filter
    max_attempts: int
    limit: int | None
    """The number of requests to send at most; None for no limit."""
    rate_per_s: float | None
    """The number of requests to send in a second at most; None for no limit."""

    def group(self, settings: ClientSettings) -> str:
        """Return the name of the group that keeps the progress.

        It depends on the filter and `max_attempts` alone: limit and rate do not change what is selected.
        """
        return f"{settings.kafka.group_id}.replay.{self.filter.fingerprint(self.max_attempts)}"


@dataclass(frozen=True, slots=True)
class Backlog:
    """The dead letters that a replay has not read yet, as of one moment."""

    requests: Sequence[TopicPartition]
    limit_bytes: int | None
    """The largest record that the requests topic takes; None if unknown."""
    dead_letters: dict[TopicPartition, OffsetRange]
    """The offsets after the progress of the filter."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dead letter that the filter matches."""

    record: DeadLetterRecord
    target: TopicPartition
    """The partition of requests that it goes to."""
    obstacle: str | None
    """Why it cannot be sent; None if it can."""


@dataclass(frozen=True, slots=True)
class ScannedRecord:
    """One record of the dead-letter topic that has been read."""

    partition: TopicPartition
    next_offset: int
    """The progress once this record is done."""
    candidate: Candidate | None
    """None if the filter does not match it."""


async def read_backlog(settings: ClientSettings, cluster: ClusterAdmin, plan: Plan) -> Backlog:
    """Read the progress of the filter. In a replay this comes after its producer has started."""
    dead_letters = cluster.partitions(settings.topics, "dead_letter")
    progress = await cluster.committed_offsets(plan.group(settings))
    now = await offset_ranges(settings.kafka, dead_letters, open_transactions=False)
    return Backlog(
        requests=cluster.partitions(settings.topics, "requests"),
        limit_bytes=await cluster.max_message_bytes(settings.topics.requests),
        dead_letters={
            partition: OffsetRange(max(span.start, progress.get(partition, 0)), span.end)
            for partition, span in now.items()
        },
    )


async def preview(settings: ClientSettings, cluster: ClusterAdmin, plan: Plan) -> AsyncGenerator[Candidate, None]:
    """Yield what a replay would handle now, in its order; nothing is sent."""
    backlog = await read_backlog(settings, cluster, plan)
    async with contextlib.aclosing(scan(settings, backlog, plan)) as scanned:
        async for each in scanned:
            if each.candidate is not None:
                yield each.candidate


async def scan(settings: ClientSettings, backlog: Backlog, plan: Plan) -> AsyncGenerator[ScannedRecord, None]:
    """Read the backlog, and end once as many candidates can be sent as the plan's limit allows."""
    left = plan.limit
    async with contextlib.aclosing(read_dead_letters(settings.kafka, backlog.dead_letters)) as records:
        async for record in records:
            candidate = None
            if not isinstance(record, UnknownRecord) and plan.filter.matches(record):
                target = backlog.requests[record.dead_letter.origin_partition % len(backlog.requests)]
                candidate = Candidate(record, target, _obstacle(record, plan.max_attempts, backlog.limit_bytes))
            yield ScannedRecord(record.partition, record.offset + 1, candidate)
            if left is not None and candidate is not None and candidate.obstacle is None:
                left -= 1
                if left == 0:
                    return


def _obstacle(record: DeadLetterRecord, max_attempts: int, limit_bytes: int | None) -> str | None:
    """Say why a dead letter cannot be sent; None if it can."""
    dead_letter = record.dead_letter
    if record.value is None:
        return f"no bytes: {dead_letter.value_left_out or 'left out'}"
    if dead_letter.headers_left_out is not None:
        return f"key or headers are not complete: {dead_letter.headers_left_out}"
    if dead_letter.attempt >= max_attempts:
        return f"attempted {dead_letter.attempt} times"
    size_bytes = batch_bytes(record.key, record.value, replay_headers(record))
    if limit_bytes is not None and size_bytes > limit_bytes:
        return f"{size_bytes:,} bytes do not fit the requests topic, which takes {limit_bytes:,}"
    return None


def replay_headers(record: DeadLetterRecord) -> list[tuple[str, bytes]]:
    """Return the headers of the request that repeats a dead letter."""
    dead_letter = record.dead_letter
    original = dict(dead_letter.original_headers)
    kept = [header for header in dead_letter.original_headers if header[0] not in headers.SET_BY_REPLAY]
    if dead_letter.item_name is not None and dead_letter.item_name.encode() != original.get(headers.FILENAME):
        # An entry of an archive is sent as a single image, so the archive's name and type would be wrong.
        kept = [header for header in kept if header[0] not in _HEADERS_OF_ARCHIVE]
        kept.append((headers.FILENAME, dead_letter.item_name.encode()))
    return [
        *kept,
        (headers.REQUEST_ID, dead_letter.request_id.encode()),
        (headers.REPLAY_OF, dead_letter.result_id.encode()),
        (headers.ATTEMPT, str(dead_letter.attempt + 1).encode()),
    ]
