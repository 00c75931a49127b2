"""Reads ranges of offsets: committed records from one offset to another, and where a log begins and ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from transport.clients import REQUEST_TIMEOUT_S, assign_at, open_reader, request_deadline
from transport.errors import KafkaRequestError
from transport.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

POLL_MS: Final = 500
BATCH_RECORDS: Final = 1_000
STALL_TIMEOUT_S: Final = 60.0
"""The time limit at one offset: an open transaction ends earlier, or the broker aborts it."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets from `start` up to and not including `end`."""

    start: int
    end: int


async def offset_ranges(
    kafka: KafkaSettings, partitions: Sequence[TopicPartition], *, open_transactions: bool
) -> dict[TopicPartition, OffsetRange]:
    """Return where logs begin and end now.

    Parameters
    ----------
    kafka, partitions
        The partitions of the logs.
    open_transactions
        True for the end after all records, including those of open transactions; false for the offset of the first
        open transaction.
    """
    isolation = "read_uncommitted" if open_transactions else "read_committed"
    async with (
        open_reader(kafka, isolation_level=isolation) as reader,
        request_deadline("find where the topics begin and end"),
    ):
        starts = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    return {partition: OffsetRange(starts[partition], ends[partition]) for partition in partitions}


class RangeReader:
    """Reads one partition of a consumer from its position up to an offset. Owner: the task that reads."""

    def __init__(self, reader: AIOKafkaConsumer, partition: TopicPartition, end: int) -> None:
        self._reader = reader
        self._partition = partition
        self._end = end

    async def next_batch(self) -> list[ConsumerRecord | Unreadable]:
        """Return the next committed records before the end, in order; empty once there are no more.

        Raises
        ------
        KafkaRequestError
            Kafka does not answer, or a transaction stays open for longer than `STALL_TIMEOUT_S`.
        """
        quiet_since_s = time.monotonic()
        while (position := await self._reader.position(self._partition)) < self._end:
            if records := await self._poll():
                return records
            if await self._reader.position(self._partition) > position:  # markers, or an aborted transaction
                quiet_since_s = time.monotonic()
            elif time.monotonic() - quiet_since_s > STALL_TIMEOUT_S:
                name = f"{self._partition.topic}/{self._partition.partition}"
                raise KafkaRequestError(f"cannot read {name} after offset {position}: a transaction there stays open")
        return []

    async def _poll(self) -> list[ConsumerRecord | Unreadable]:
        async with request_deadline(f"read topic {self._partition.topic!r}", REQUEST_TIMEOUT_S):
            fetched = await self._reader.getmany(self._partition, timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        return [record for record in fetched.get(self._partition, []) if record.offset < self._end]


@contextlib.asynccontextmanager
async def open_range_readers(
    kafka: KafkaSettings, wanted: dict[TopicPartition, OffsetRange]
) -> AsyncIterator[dict[TopicPartition, RangeReader]]:
    """Open a reader for each of these ranges; all of them share one consumer."""
    async with open_reader(kafka) as reader:
        assign_at(reader, {partition: span.start for partition, span in wanted.items()})
        yield {partition: RangeReader(reader, partition, span.end) for partition, span in wanted.items()}
