"""A topic's log as it is: committed records from one offset to another, and where a log begins and ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from transport.clients import ANSWER_S, open_reader, start_at, within
from transport.errors import KafkaRequestError
from transport.reading.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

POLL_MS: Final = 500
BATCH_RECORDS: Final = 1_000
STALL_S: Final = 60.0
"""How long to wait at one offset: an open transaction ends, or is ended by the broker, well before."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a partition holds: the offsets from `start` to before `end`."""

    start: int
    end: int


async def spans(
    kafka: KafkaSettings, partitions: Sequence[TopicPartition], *, open_transactions: bool
) -> dict[TopicPartition, Span]:
    """Find where logs begin and end now.

    Parameters
    ----------
    kafka, partitions
        Whose logs.
    open_transactions
        True if the end is behind everything written so far, transactions included that are not yet decided;
        false if it is before the first of these.
    """
    isolation = "read_uncommitted" if open_transactions else "read_committed"
    async with open_reader(kafka, isolation_level=isolation) as reader, within("find where the topics begin and end"):
        starts = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    return {partition: Span(starts[partition], ends[partition]) for partition in partitions}


class Cursor:
    """Reads one partition of a reader that is positioned already. Owner: the task that reads."""

    def __init__(self, reader: AIOKafkaConsumer, partition: TopicPartition, end: int) -> None:
        self._reader = reader
        self._partition = partition
        self._end = end

    async def batch(self) -> list[ConsumerRecord | Unreadable]:
        """Return the next committed records before the end, in order; empty once there are no more.

        Raises
        ------
        KafkaRequestError
            Kafka does not answer, or a transaction stays open for longer than `STALL_S`.
        """
        quiet_since_s = time.monotonic()
        while (position := await self._reader.position(self._partition)) < self._end:
            if records := await self._poll():
                return records
            if await self._reader.position(self._partition) > position:  # markers, or an aborted transaction
                quiet_since_s = time.monotonic()
            elif time.monotonic() - quiet_since_s > STALL_S:
                name = f"{self._partition.topic}/{self._partition.partition}"
                raise KafkaRequestError(f"cannot read {name} beyond offset {position}: a transaction there stays open")
        return []

    async def _poll(self) -> list[ConsumerRecord | Unreadable]:
        async with within(f"read topic {self._partition.topic!r}", ANSWER_S):
            fetched = await self._reader.getmany(self._partition, timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        return [record for record in fetched.get(self._partition, []) if record.offset < self._end]


@contextlib.asynccontextmanager
async def read_spans(
    kafka: KafkaSettings, wanted: dict[TopicPartition, Span]
) -> AsyncIterator[dict[TopicPartition, Cursor]]:
    """Open cursors over spans of some partitions, all of one connection."""
    async with open_reader(kafka) as reader:
        start_at(reader, {partition: span.start for partition, span in wanted.items()})
        yield {partition: Cursor(reader, partition, span.end) for partition, span in wanted.items()}
