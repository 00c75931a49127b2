"""A topic's log as it is: committed records from one offset to another, and where a log begins and ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contract.settings import KafkaSettings
from contract.unreadable import Unreadable, rest_of_batch
from producer.clients import ANSWER_S, open_reader, start_at, within
from producer.errors import KafkaProblem

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
        KafkaProblem
            Kafka does not answer, or a transaction stays open for longer than `STALL_S`.
        """
        quiet_since_s = time.monotonic()
        while (position := await self._reader.position(self._partition)) < self._end:
            try:
                records = await self._poll()
            except UnicodeDecodeError:
                return await self._past_unreadable(position)
            if records:
                return records
            if await self._reader.position(self._partition) > position:  # markers, or an aborted transaction
                quiet_since_s = time.monotonic()
            elif time.monotonic() - quiet_since_s > STALL_S:
                name = f"{self._partition.topic}/{self._partition.partition}"
                raise KafkaProblem(f"cannot read {name} beyond offset {position}: a transaction there stays open")
        return []

    async def _poll(self, most: int = BATCH_RECORDS) -> list[ConsumerRecord | Unreadable]:
        async with within(f"read topic {self._partition.topic!r}", ANSWER_S):
            fetched = await self._reader.getmany(self._partition, timeout_ms=POLL_MS, max_records=most)
        return [record for record in fetched.get(self._partition, []) if record.offset < self._end]

    async def _past_unreadable(self, position: int) -> list[ConsumerRecord | Unreadable]:
        # The client has dropped what it had parsed of that fetch, and its position has not moved. One by one,
        # the records before come out; then only its parser knows the offset that it failed behind.
        self._reader.seek(self._partition, position)
        found: list[ConsumerRecord | Unreadable] = []
        while await self._reader.position(self._partition) < self._end:
            try:
                found += await self._poll(most=1)
            except UnicodeDecodeError:
                parsed = self._reader._fetcher._records[self._partition]._partition_records  # noqa: SLF001  # see above
                async with within(f"read topic {self._partition.topic!r}"):
                    rest, behind = await rest_of_batch(self._reader, self._partition, int(parsed.next_fetch_offset))
                self._reader.seek(self._partition, behind)
                return [*found, *(record for record in rest if record.offset < self._end)]
        return found


@contextlib.asynccontextmanager
async def read_spans(
    kafka: KafkaSettings, wanted: dict[TopicPartition, Span]
) -> AsyncIterator[dict[TopicPartition, Cursor]]:
    """Open cursors over spans of some partitions, all of one connection."""
    async with open_reader(kafka) as reader:
        start_at(reader, {partition: span.start for partition, span in wanted.items()})
        yield {partition: Cursor(reader, partition, span.end) for partition, span in wanted.items()}
