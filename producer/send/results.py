"""Reads results from the predictions topic as they are committed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contract.records import Result, read_result
from transport.clients import REQUEST_TIMEOUT_S, assign_at, open_reader, request_deadline
from transport.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

POLL_MS: Final = 500
"""How long one call waits for records."""


@dataclass(frozen=True, slots=True)
class InvalidResult:
    """A record of the predictions topic that is not a result."""

    where: str
    reason: str


class Results:
    """The results committed since it was opened. Owner: the task that opened it."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def next_batch(self, poll_ms: int = POLL_MS) -> list[Result | InvalidResult]:
        """Return the results that have arrived, after `poll_ms` at the latest; the list may be empty."""
        async with request_deadline("read results", REQUEST_TIMEOUT_S + poll_ms / 1000):
            batches = await self._reader.getmany(timeout_ms=poll_ms)
        return [_parse(record) for records in batches.values() for record in records]


@contextlib.asynccontextmanager
async def open_results(
    kafka: KafkaSettings, partitions: Sequence[TopicPartition], *, from_beginning: bool = False
) -> AsyncIterator[Results]:
    """Open the results; every result that is committed after this has been entered will be among them."""
    async with open_reader(kafka) as reader:
        async with request_deadline("find where the results begin and end"):
            offsets = reader.beginning_offsets if from_beginning else reader.end_offsets
            assign_at(reader, await offsets(partitions))
        yield Results(reader)


def _parse(record: ConsumerRecord | Unreadable) -> Result | InvalidResult:
    if isinstance(record, Unreadable):
        return InvalidResult(f"{record.partition.topic}/{record.partition.partition}/{record.offset}", record.why)
    try:
        return read_result(record.value)
    except ValueError as error:
        return InvalidResult(f"{record.topic}/{record.partition}/{record.offset}", " ".join(str(error).split()))
