"""Reads the dead-letter topic: what failed, when and why, filters on it, and the original bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from contract.dead_letters import DeadLetter, InvalidDeadLetterError
from engine.codecs.formats import EXTENSIONS, payload_format
from producer.errors import UsageError
from transport.reading.log_reader import OffsetRange, open_range_readers
from transport.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on dead letters; without any condition it matches all of them.

    Times are those of the failure: the timestamp of the dead letter's own record.
    """

    codes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def matches(self, record: DeadLetterRecord) -> bool:
        """Return whether a dead letter meets all conditions."""
        dead_letter = record.dead_letter
        return (
            (not self.codes or dead_letter.error_code in self.codes)
            and (self.since_ms is None or record.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or record.timestamp_ms < self.until_ms)
            and self.topic in (None, dead_letter.origin_topic)
            and self.partition in (None, dead_letter.origin_partition)
            and self.offset in (None, dead_letter.origin_offset)
        )

    def fingerprint(self, *more: object) -> str:
        """Return a short name for exactly this filter (and `more`), the same on every machine."""
        canonical = json.dumps([asdict(self) | {"codes": sorted(set(self.codes))}, *more], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A dead letter with its bytes, and its position on the dead-letter topic."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    """Of the dead letter: when the item failed, epoch milliseconds."""
    key: bytes | None
    value: bytes | None
    dead_letter: DeadLetter

    def summary(self) -> dict[str, Any]:
        """Return the dead letter as JSON shows it: without key, value and original headers."""
        known = asdict(self.dead_letter)
        del known["original_headers"]
        size_bytes = None if self.value is None else len(self.value)
        return {**known, "failed_at_ms": self.timestamp_ms, "size_bytes": size_bytes}


@dataclass(frozen=True, slots=True)
class UnknownRecord:
    """A record on the dead-letter topic that is not a dead letter."""

    partition: TopicPartition
    offset: int
    reason: str


async def read_dead_letters(
    kafka: KafkaSettings, wanted: dict[TopicPartition, OffsetRange]
) -> AsyncGenerator[DeadLetterRecord | UnknownRecord, None]:
    """Read what is committed in these spans, one partition after the other."""
    for partition, span in wanted.items():
        if span.start >= span.end:
            continue
        async with open_range_readers(kafka, {partition: span}) as readers:
            while batch := await readers[partition].next_batch():
                for record in batch:
                    yield parse_record(partition, record)


def parse_record(partition: TopicPartition, record: ConsumerRecord | Unreadable) -> DeadLetterRecord | UnknownRecord:
    """Parse a record of the dead-letter topic, which may not have been written by the service."""
    if isinstance(record, Unreadable):
        return UnknownRecord(partition, record.offset, "the record cannot be parsed")
    try:
        dead_letter = DeadLetter.read(record.headers)
    except InvalidDeadLetterError as error:
        return UnknownRecord(partition, record.offset, str(error))
    return DeadLetterRecord(partition, record.offset, record.timestamp, record.key, record.value, dead_letter)


def save(record: DeadLetterRecord, folder: Path) -> Path | None:
    """Write the bytes into a folder; the file is named after the result's id.

    Returns
    -------
    Path or None
        The file; None if the dead letter has no bytes.

    Raises
    ------
    UsageError
        The folder cannot be written to.
    """
    if record.value is None:
        return None
    # Not the item's own name: its sender chose it, and it could point anywhere on the disk.
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", record.dead_letter.result_id)[-200:].lstrip(".")
    payload = payload_format(record.value)
    path = folder / f"{stem}{'.bin' if payload is None else EXTENSIONS[payload]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record.value)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return path
