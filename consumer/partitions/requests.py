"""From a record of the requests topic to a worker's task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from consumer.settings import EchoSettings, PacingSettings
from consumer.workers.protocol import WHOLE_RECORD, Task
from contract import headers
from contract.errors import UNECHOED, ErrorCode
from contract.traceparent import TraceParent
from engine.codecs.formats import image_format
from engine.limits import Limits
from transport.record_batch import Unreadable

Headers = list[tuple[str, bytes]]

RECORD_OVERHEAD_BYTES: Final = 512
"""Accounted for each record beside its bytes: the objects around them."""
HEADER_OVERHEAD_BYTES: Final = 128
"""The same for each header."""


class Request(NamedTuple):
    """A fetched record with all that its answer needs beside the worker's."""

    task: Task
    key: bytes | None
    value: bytes | None
    headers: Headers
    """Key, value and headers as received: they go on the dead letter."""
    echo_key: bytes | None
    echo: Headers
    """Key and headers of every result."""
    fetched_s: float
    size_bytes: int
    """The bytes of the memory budget that the request takes."""
    trace: TraceParent | None = None
    """The sender's trace, if its header can be read."""
    headers_left_out: bool = False
    """True if there were too many of them to be repeated."""


def chunks(
    records: list[ConsumerRecord | Unreadable], pacing: PacingSettings, echo: EchoSettings, limits: Limits
) -> Iterator[list[Request]]:
    """Cut what was fetched into the portions that a worker takes at once, in order; none is empty.

    What is no single image goes alone: it may have ten thousand results, and a portion is published as one.

    Parameters
    ----------
    records
        Of one partition, in order.
    pacing
        How many records and bytes a portion has at most.
    echo, limits
        As for `from_record`.
    """
    chunk: list[Request] = []
    size_bytes = 0
    for record in records:
        request = from_unreadable(record) if isinstance(record, Unreadable) else from_record(record, echo, limits)
        is_many = bool(request.task.payload) and image_format(request.task.payload) is None
        full = len(chunk) == pacing.chunk_records or size_bytes + request.size_bytes > pacing.chunk_bytes
        if chunk and (full or is_many):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(request)
        size_bytes = pacing.chunk_bytes if is_many else size_bytes + request.size_bytes
    if chunk:
        yield chunk


def from_record(record: ConsumerRecord, echoed: EchoSettings, limits: Limits) -> Request:
    """Read a record's headers and see whether it may be echoed as it is, and given to a worker at all.

    Parameters
    ----------
    record
        As it was fetched.
    echoed
        How many headers it may have, and bytes of what comes back with each result.
    limits
        How many bytes of value, and characters of file name.

    Returns
    -------
    Request
        Where it is beyond a limit, its task has no payload and is quarantined with that limit's code.
    """
    left_out = len(record.headers) > echoed.headers + _of_replay(record.headers, echoed.headers)
    received = [] if left_out else list(record.headers)
    last = dict(received)
    echo = [(name, last[name]) for name in headers.ECHOED if last.get(name) is not None] if received else []
    filename = last.get(headers.FILENAME) or b""
    code = ErrorCode.TOO_MANY_HEADERS if left_out else _refused(record, echo, filename, echoed, limits)
    echo_key, name = record.key, filename.decode("utf-8", "replace")
    if code in UNECHOED:
        # Echoed to each of ten thousand results it would be an amplifier.
        echo_key, echo, name = None, [], ""
    elif len(name) > limits.name_characters:
        code, name = code or ErrorCode.NAME_TOO_LONG, ""
    request_id = last.get(headers.REQUEST_ID) or b"" if echo else b""
    trace = TraceParent.parse(last.get(headers.TRACEPARENT) or b"") if echo else None
    task = Task(
        payload=b"" if code else record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        received_at_ms=time.time_ns() // 1_000_000,
        request_id=request_id.decode("utf-8", "replace") or None,
        filename=name or None,
        quarantined={WHOLE_RECORD: str(code)} if code else {},
        trace_id=trace.trace_id if trace else None,
        echo_bytes=len(echo_key or b"") + _size_bytes(echo),
    )
    size_bytes = len(record.value or b"") + len(record.key or b"") + _size_bytes(received) + RECORD_OVERHEAD_BYTES
    size_bytes += len(received) * HEADER_OVERHEAD_BYTES
    now_s = time.monotonic()
    return Request(task, record.key, record.value, received, echo_key, echo, now_s, size_bytes, trace, left_out)


def from_unreadable(unreadable: Unreadable) -> Request:
    """Make a request of which nothing is known but its place."""
    now_ms = time.time_ns() // 1_000_000
    quarantined = {WHOLE_RECORD: str(ErrorCode.UNREADABLE_RECORD)}
    topic, partition = unreadable.partition
    task = Task(b"", topic, partition, unreadable.offset, now_ms, now_ms, None, None, quarantined)
    return Request(task, None, None, [], None, [], time.monotonic(), RECORD_OVERHEAD_BYTES)


def _of_replay(received: Headers, most: int) -> int:
    """Count the headers that a replay may have beyond its request's: what could be sent once can be sent again."""
    if len(received) <= most or all(name != headers.REPLAY_OF for name, _ in received):
        return 0
    return len(headers.SET_BY_REPLAY) + 1  # an archive's entry has a file name, too


def _refused(
    record: ConsumerRecord, echo: Headers, filename: bytes, echoed: EchoSettings, limits: Limits
) -> ErrorCode | None:
    if record.key is not None and len(record.key) > echoed.key_bytes:
        return ErrorCode.KEY_TOO_LARGE
    if len(filename) > echoed.header_bytes or any(len(value) > echoed.header_bytes for _, value in echo):
        return ErrorCode.HEADER_TOO_LARGE
    if not record.value:
        return ErrorCode.EMPTY_RECORD
    if len(record.value) > limits.record_bytes:
        return ErrorCode.RECORD_TOO_LARGE  # the engine says so too, but a worker has held it twice by then
    return None


def _size_bytes(received: Headers) -> int:
    return sum(len(name) + len(value or b"") for name, value in received)
