"""Tasks for a worker, and what is in its answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch

from consumer.settings import EchoSettings
from consumer.workers.protocol import Rules
from consumer.workers.tasks import Part, Task
from contract.dead_letters import DeadLetter
from contract.records import Result, read_result
from engine.limits import Limits
from tests.harness.outgoing_records import OutgoingRecord
from tests.harness.raw_batches import Raw, batch_bytes

DEAD_LETTER_BYTES = 20 * 1024 * 1024


def rules(limits: Limits | None = None, echo: EchoSettings | None = None, **more: Any) -> Rules:
    """Give the rules of a worker."""
    echo = echo or EchoSettings()
    named: dict[str, Any] = {"inflated_bytes": 64 * 1024 * 1024, "record_timeout_s": 60.0}
    return Rules(dataclasses.asdict(limits or Limits()), **{**echo.model_dump(), **named, **more})


def task(*records: Raw | bytes, offset: int = 0, partition: int = 3, compacted: bool = False, **more: Any) -> Task:
    """Wrap records in a batch of their own each, or with `compacted` in one for all, as if it had been fetched."""
    raw = [Raw(record) if isinstance(record, bytes) else record for record in records]
    batches = [raw] if compacted else [[each] for each in raw]
    data = []
    at = offset
    for some in batches:
        data.append(memoryview(batch_bytes(some, first_offset=at, time_ms=1_000)))
        at += len(some)
    named = {"dead_letter_bytes": DEAD_LETTER_BYTES} | more
    return Task("requests", partition, data, offset, at, 2_000, **named)


def records_of(batches: Iterable[bytes | bytearray]) -> list[OutgoingRecord]:
    """Give the records of batches."""
    return [
        OutgoingRecord(record.key, record.value, list(record.headers))
        for batch in batches
        for record in DefaultRecordBatch(bytes(batch))
    ]


def raw_results(parts: Sequence[Part]) -> list[bytes]:
    """Give the values of all results."""
    return [record.value or b"" for part in parts for record in records_of(part.results)]


def results_of(parts: Sequence[Part]) -> list[Result]:
    """Give all results."""
    return [read_result(value) for value in raw_results(parts)]


def dead_letters_of(parts: Sequence[Part]) -> list[tuple[OutgoingRecord, DeadLetter]]:
    """Give all dead letters, as they are and as they are read."""
    found = [record for part in parts for record in records_of(part.dead_letters)]
    return [(record, DeadLetter.read(record.headers)) for record in found]
