"""Saves the requests whose answers are unsure, with the answers: `digit-engine collect` sorts them for labelling.

The bytes are written as they were sent. Nothing of them is opened here, since senders could send anything.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from contract.records import Result, Status, read_result
from contract.topics import TopicSettings
from engine.codecs.formats import EXTENSIONS, payload_format
from producer.errors import UsageError
from transport.admin.cluster import ClusterAdmin
from transport.clients import assign_at, open_reader
from transport.reading.log_reader import OffsetRange, RangeReader, offset_ranges, open_range_readers
from transport.record_batch import Unreadable
from transport.settings.kafka import ClientSettings, KafkaSettings

ANSWERS: Final = "unsure.jsonl"
"""In the folder: one line for each unsure answer, which names the file of its request."""


class UnsureFolder:
    """The folder that requests and answers are saved in. Owner: the command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: set[str] = set()

    def add(self, result: Result, value: bytes) -> None:
        """Save the request of a result, unless that was done, and the answer.

        Raises
        ------
        UsageError
            The folder cannot be written to.
        """
        source = result.source
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", f"{source.topic}_{source.partition}_{source.offset}").lstrip(".")
        payload = payload_format(value)
        name = f"{stem}{'.bin' if payload is None else EXTENSIONS[payload]}"
        line = json.dumps({"file": name, **_described(result)}) + "\n"
        try:
            if name not in self._written:
                self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / name).write_bytes(value)
            with (self._folder / ANSWERS).open("a" if self._written else "w", encoding="ascii") as answers:
                answers.write(line)
        except OSError as error:
            raise UsageError(f"cannot write to {str(self._folder)!r}: {error.strerror}") from error
        self._written = {name}  # the answers to one request come one after the other


async def unsure_answers(
    settings: ClientSettings, cluster: ClusterAdmin, since_ms: int
) -> AsyncGenerator[tuple[Result, bytes | None], None]:
    """Yield the unsure answers that are committed now, and the value of each one's request; None if it is gone.

    Parameters
    ----------
    settings, cluster
        Where to read.
    since_ms
        Classified at this time or later, in ms since 1970.
    """
    topics = settings.topics
    logs = await offset_ranges(settings.kafka, cluster.partitions(topics, "requests"), open_transactions=False)
    results = await offset_ranges(settings.kafka, cluster.partitions(topics, "predictions"), open_transactions=False)
    async with open_reader(settings.kafka) as reader:
        requests = _Requests(reader, logs)
        for partition, span in results.items():
            async with contextlib.aclosing(_results(settings.kafka, partition, span)) as committed:
                async for result in committed:
                    if _is_wanted(result, topics, since_ms):
                        yield result, await requests.value(result.source.partition, result.source.offset)


class _Requests:
    """Reads single requests. Owner: the task that reads."""

    def __init__(self, reader: AIOKafkaConsumer, logs: dict[TopicPartition, OffsetRange]) -> None:
        self._reader = reader
        self._logs = {partition.partition: (partition, span) for partition, span in logs.items()}
        self._last: tuple[int, int, bytes | None] | None = None

    async def value(self, number: int, offset: int) -> bytes | None:
        """Return the value of a request; None if it is no longer in the log, or has none."""
        if self._last is None or self._last[:2] != (number, offset):  # an archive has many answers, in order
            self._last = (number, offset, await self._read(number, offset))
        return self._last[2]

    async def _read(self, number: int, offset: int) -> bytes | None:
        if number not in self._logs:
            return None
        partition, span = self._logs[number]
        if not span.start <= offset < span.end:
            return None
        if partition in self._reader.assignment():
            self._reader.seek(partition, offset)
        else:
            assign_at(self._reader, {partition: offset})
        for record in await RangeReader(self._reader, partition, offset + 1).next_batch():
            if not isinstance(record, Unreadable) and record.offset == offset:
                value: bytes | None = record.value
                return value
        return None


async def _results(kafka: KafkaSettings, partition: TopicPartition, span: OffsetRange) -> AsyncGenerator[Result, None]:
    """Yield the results of a partition; records that are none are left out."""
    if span.start >= span.end:
        return
    async with open_range_readers(kafka, {partition: span}) as readers:
        while batch := await readers[partition].next_batch():
            for record in batch:
                if not isinstance(record, Unreadable):
                    with contextlib.suppress(ValueError):
                        yield read_result(record.value)


def _is_wanted(result: Result, topics: TopicSettings, since_ms: int) -> bool:
    return (
        result.status is Status.UNSURE
        and result.source.topic == topics.requests
        and result.timing.classified_at_ms >= since_ms
    )


def _described(result: Result) -> dict[str, Any]:
    """Return the answer as a line of `ANSWERS` has it."""
    answer = {"status": result.status, "digit": result.digit, "confidence": result.confidence, "reason": result.reason}
    return {
        "result_id": result.result_id,
        "request_id": result.request_id,
        "topic": result.source.topic,
        "partition": result.source.partition,
        "offset": result.source.offset,
        "item_index": result.item.index,
        "item_name": result.item.name,
        "at_ms": result.timing.classified_at_ms,
        "answer": {**answer, "model": result.model.model_dump()},
    }
