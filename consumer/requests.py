"""From a record of the requests topic to a worker's task."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from aiokafka import ConsumerRecord, TopicPartition

from consumer.channel import WHOLE_RECORD, Task
from consumer.fetch import Unreadable
from consumer.settings import EchoSettings
from contract import headers
from contract.errors import ErrorCode

Headers = list[tuple[str, bytes]]

RECORD_OVERHEAD_BYTES: Final = 512
"""Accounted for each record beside its value: the objects around it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A fetched record with all that its answer needs beside the worker's."""

    task: Task
    key: bytes | None
    value: bytes | None
    headers: Headers
    """As received; they go on the dead letter."""
    echo: Headers
    """What comes back as headers of every result."""
    fetched_s: float

    @property
    def size_bytes(self) -> int:
        """What the request counts against the bytes in hand."""
        return len(self.task.payload) + RECORD_OVERHEAD_BYTES


def from_record(record: ConsumerRecord, limits: EchoSettings) -> Request:
    """Read a record's headers and see whether it may be echoed as it is."""
    received = [(name, value) for name, value in record.headers]
    last = dict(received)
    echo = [(name, last[name]) for name in headers.ECHOED if last.get(name) is not None]
    filename = last.get(headers.FILENAME) or b""
    code = _refused(record, echo, filename, limits)
    key = record.key
    if code in (ErrorCode.KEY_TOO_LARGE, ErrorCode.HEADER_TOO_LARGE):
        # Echoed to each of ten thousand results it would be an amplifier.
        key, echo, filename = None, [], b""
    request_id = dict(echo).get(headers.REQUEST_ID, b"")
    task = Task(
        payload=b"" if code else record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        received_at_ms=time.time_ns() // 1_000_000,
        request_id=request_id.decode("utf-8", "replace") or None,
        filename=filename.decode("utf-8", "replace") or None,
        condemned={WHOLE_RECORD: str(code)} if code else {},
    )
    return Request(task, key, record.value, received, echo, time.monotonic())


def from_unreadable(unreadable: Unreadable, partition: TopicPartition) -> Request:
    """Make a request of which nothing is known but its place."""
    now_ms = time.time_ns() // 1_000_000
    condemned = {WHOLE_RECORD: str(ErrorCode.UNREADABLE_RECORD)}
    task = Task(b"", partition.topic, partition.partition, unreadable.offset, now_ms, now_ms, None, None, condemned)
    return Request(task, None, None, [], [], time.monotonic())


def _refused(record: ConsumerRecord, echo: Headers, filename: bytes, limits: EchoSettings) -> ErrorCode | None:
    if record.key is not None and len(record.key) > limits.key_bytes:
        return ErrorCode.KEY_TOO_LARGE
    if any(len(value) > limits.header_bytes for _, value in [*echo, (headers.FILENAME, filename)]):
        return ErrorCode.HEADER_TOO_LARGE
    if not record.value:
        return ErrorCode.EMPTY_RECORD
    return None
