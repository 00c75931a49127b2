"""Results as they are committed: the predictions topic, read from known positions on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contract.records import Result, read_result
from transport.clients import ANSWER_S, open_reader, start_at, within
from transport.reading.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

POLL_MS: Final = 500
"""How long to wait for records at once; a caller that is interrupted ends sooner."""


@dataclass(frozen=True, slots=True)
class NoResult:
    """A record of the predictions topic that is no result."""

    where: str
    why: str


class Results:
    """Committed results from where it was opened on. Owner: the task that opened it."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def next_batch(self, poll_ms: int = POLL_MS) -> list[Result | NoResult]:
        """Return what has arrived, waiting up to `poll_ms` for it; empty if nothing did."""
        async with within("read results", ANSWER_S + poll_ms / 1000):
            batches = await self._reader.getmany(timeout_ms=poll_ms)
        return [_read(record) for records in batches.values() for record in records]


@contextlib.asynccontextmanager
async def open_results(
    kafka: KafkaSettings, partitions: Sequence[TopicPartition], *, from_beginning: bool = False
) -> AsyncIterator[Results]:
    """Open the results; whatever is committed after this has been entered will be among them."""
    async with open_reader(kafka) as reader:
        async with within("find where the results begin and end"):
            look = reader.beginning_offsets if from_beginning else reader.end_offsets
            start_at(reader, await look(partitions))
        yield Results(reader)


def _read(record: ConsumerRecord | Unreadable) -> Result | NoResult:
    if isinstance(record, Unreadable):
        return NoResult(f"{record.partition.topic}/{record.partition.partition}/{record.offset}", record.why)
    try:
        return read_result(record.value)
    except ValueError as error:
        return NoResult(f"{record.topic}/{record.partition}/{record.offset}", " ".join(str(error).split()))
