"""The dead-letter topic as a list to choose from: what failed, when, why, and the bytes to look at."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import ConsumerRecord, TopicPartition

from contract.dead_letters import DeadLetter, NotADeadLetterError
from producer.errors import UsageProblem
from producer.send.sources import content_type
from transport.reading.log_reader import Span, read_spans
from transport.reading.record_batch import Unreadable
from transport.settings.kafka import KafkaSettings

EXTENSIONS: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "application/zip": ".zip",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; without any condition, all.

    Times are those of the failure: of the dead letter's own record.
    """

    codes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def takes(self, found: Found) -> bool:
        """Say whether it is among those meant."""
        letter = found.letter
        return (
            (not self.codes or letter.error_code in self.codes)
            and (self.since_ms is None or found.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or found.timestamp_ms < self.until_ms)
            and self.topic in (None, letter.origin_topic)
            and self.partition in (None, letter.origin_partition)
            and self.offset in (None, letter.origin_offset)
        )

    def fingerprint(self, *more: object) -> str:
        """Return a short name for exactly this filter (and `more`), the same on every machine."""
        canonical = json.dumps([asdict(self) | {"codes": sorted(set(self.codes))}, *more], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter and where it lies."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    """Of the dead letter: when the item failed, epoch milliseconds."""
    key: bytes | None
    value: bytes | None
    letter: DeadLetter

    def summary(self) -> dict[str, Any]:
        """Return what there is to know, without key, value and original headers, as JSON has it."""
        known = asdict(self.letter)
        del known["original_headers"]
        size_bytes = None if self.value is None else len(self.value)
        return {**known, "failed_at_ms": self.timestamp_ms, "size_bytes": size_bytes}


@dataclass(frozen=True, slots=True)
class Stranger:
    """A record on the dead-letter topic that is no dead letter."""

    partition: TopicPartition
    offset: int
    why: str


async def read_letters(
    kafka: KafkaSettings, wanted: dict[TopicPartition, Span]
) -> AsyncGenerator[Found | Stranger, None]:
    """Read what is committed in these spans, partition after partition."""
    for partition, span in wanted.items():
        if span.start >= span.end:
            continue
        async with read_spans(kafka, {partition: span}) as cursors:
            while batch := await cursors[partition].batch():
                for record in batch:
                    yield identify(partition, record)


def identify(partition: TopicPartition, record: ConsumerRecord | Unreadable) -> Found | Stranger:
    """Tell a dead letter from what was not written by the service."""
    if isinstance(record, Unreadable):
        return Stranger(partition, record.offset, "it cannot be read")
    try:
        letter = DeadLetter.read(record.headers)
    except NotADeadLetterError as error:
        return Stranger(partition, record.offset, str(error))
    return Found(partition, record.offset, record.timestamp, record.key, record.value, letter)


def save(found: Found, folder: Path) -> Path | None:
    """Write the bytes into a folder, under a name made of the result's id alone; None if there are no bytes.

    Raises
    ------
    UsageProblem
        The folder cannot be written to.
    """
    if found.value is None:
        return None
    # The item's own name is not ours to trust with a place on the disk.
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", found.letter.result_id)[-200:].lstrip(".")
    path = folder / f"{stem}{EXTENSIONS.get(content_type(None, found.value), '.bin')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.value)
    except OSError as error:
        raise UsageProblem(f"cannot write {str(path)!r}: {error.strerror}") from error
    return path
