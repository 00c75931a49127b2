"""How far the group has got in each partition of the requests, who works on it, and how fast."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from producer.display import complain
from transport.admin.cluster import Group, Member, look_around
from transport.clients import open_reader, within
from transport.reading.log_reader import Span
from transport.settings.kafka import ClientSettings


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the group and its partitions."""

    group: Group
    logs: dict[TopicPartition, Span]
    """All that is written, transactions included that are still open."""
    committed: dict[TopicPartition, int]
    at_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Row:
    """A partition of the requests."""

    partition: int
    log_start: int
    committed: int | None
    """Where the group goes on; None if it has committed nothing here, or nothing that Kafka still keeps."""
    end: int
    lag: int
    """Offsets that the group has not passed: from the committed one, or without one from the log's start."""
    owner: Member | None
    written_per_s: float
    """Offsets, markers of transactions included. So is `answered_per_s`."""
    answered_per_s: float


def rows(now: Look, before: Look) -> list[Row]:
    """Lay out a look by partition; rates are the differences to the look before."""
    seconds = now.at_s - before.at_s
    found = []
    for partition, log in sorted(now.logs.items()):
        committed = now.committed.get(partition)
        passed = max(committed or 0, log.start)
        passed_before = max(before.committed.get(partition, 0), before.logs[partition].start)
        found.append(
            Row(
                partition.partition,
                log.start,
                committed,
                log.end,
                max(0, log.end - passed),
                now.group.owner(partition),
                max(0, log.end - before.logs[partition].end) / seconds,
                # Retention that takes unanswered requests is no work of the group.
                max(0, passed - passed_before) / seconds if committed is not None else 0.0,
            )
        )
    return found


@contextlib.asynccontextmanager
async def looking(settings: ClientSettings) -> AsyncIterator[Callable[[], Awaitable[Look]]]:
    """Connect, and give what takes a look each time that it is called.

    Raises
    ------
    KafkaRequestError
        Kafka cannot be reached, or there is no topic of requests.
    """
    kafka = settings.kafka
    async with (
        look_around(kafka, complain) as cluster,
        open_reader(kafka, isolation_level="read_uncommitted") as reader,
    ):
        requests = cluster.partitions(settings.topics, "requests")

        async def look() -> Look:
            committed = await cluster.committed(kafka.group_id)  # first: no committed offset is then behind an end
            async with within("find where the requests begin and end"):
                starts, ends = await reader.beginning_offsets(requests), await reader.end_offsets(requests)
            logs = {partition: Span(starts[partition], ends[partition]) for partition in requests}
            return Look(await cluster.group(kafka.group_id), logs, committed)

        yield look
