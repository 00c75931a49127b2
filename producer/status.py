"""The progress of the group in each partition of the requests: its lag, its member, and the rates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from producer.display import print_message
from transport.admin.cluster import ConsumerGroup, GroupMember, open_cluster
from transport.clients import open_reader, request_deadline
from transport.reading.log_reader import OffsetRange
from transport.settings.kafka import ClientSettings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The group, its committed offsets and the logs, at one moment."""

    group: ConsumerGroup
    logs: dict[TopicPartition, OffsetRange]
    """Up to the last record written, also in transactions that are still open."""
    committed: dict[TopicPartition, int]
    at_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """The progress of the group in one partition of the requests."""

    partition: int
    log_start: int
    committed: int | None
    """The committed offset; None if the group has none in this partition."""
    end: int
    lag: int
    """Offsets from the committed one to the end; without a committed one, from the log's start."""
    owner: GroupMember | None
    written_per_s: float
    """Offsets written per second, including the markers of transactions."""
    answered_per_s: float
    """Offsets committed per second, including the markers of transactions."""


def partition_progress(now: Snapshot, before: Snapshot) -> list[PartitionProgress]:
    """Compute the progress by partition; rates are the differences between the two snapshots, per second."""
    seconds = now.at_s - before.at_s
    found = []
    for partition, log in sorted(now.logs.items()):
        committed = now.committed.get(partition)
        passed = max(committed or 0, log.start)
        passed_before = max(before.committed.get(partition, 0), before.logs[partition].start)
        found.append(
            PartitionProgress(
                partition.partition,
                log.start,
                committed,
                log.end,
                max(0, log.end - passed),
                now.group.owner(partition),
                max(0, log.end - before.logs[partition].end) / seconds,
                # Where the group has committed nothing, only retention has moved the log's start: that answers nothing.
                max(0, passed - passed_before) / seconds if committed is not None else 0.0,
            )
        )
    return found


@contextlib.asynccontextmanager
async def open_snapshots(settings: ClientSettings) -> AsyncIterator[Callable[[], Awaitable[Snapshot]]]:
    """Connect, and yield a function that takes a snapshot each time it is called.

    Raises
    ------
    KafkaRequestError
        Kafka cannot be reached, or there is no requests topic.
    """
    kafka = settings.kafka
    async with (
        open_cluster(kafka, print_message) as cluster,
        open_reader(kafka, isolation_level="read_uncommitted") as reader,
    ):
        requests = cluster.partitions(settings.topics, "requests")

        async def take() -> Snapshot:
            # First the committed offsets, then the ends: so no committed offset is past an end.
            committed = await cluster.committed_offsets(kafka.group_id)
            async with request_deadline("find where the requests begin and end"):
                starts, ends = await reader.beginning_offsets(requests), await reader.end_offsets(requests)
            logs = {partition: OffsetRange(starts[partition], ends[partition]) for partition in requests}
            return Snapshot(await cluster.describe_group(kafka.group_id), logs, committed)

        yield take
