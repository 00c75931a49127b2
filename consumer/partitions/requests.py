"""Turns a record of the requests topic into a task for a worker."""

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
"""Counted for each record in addition to its bytes: the Python objects around them."""
HEADER_OVERHEAD_BYTES: Final = 128
"""The same for each header."""


class Request(NamedTuple):
    """A fetched record: the worker's task, and the parts that are copied to results and dead letters."""

    task: Task
    key: bytes | None
    value: bytes | None
    headers: Headers
    """Key, value and headers as received. They are copied to dead letters."""
    echo_key: bytes | None
    echo: Headers
    """Key and headers that are copied to every result."""
    fetched_s: float
    size_bytes: int
    """What the request counts in the memory budget."""
    trace: TraceParent | None = None
    """The sender's trace; None if there is no valid `traceparent` header."""
    headers_left_out: bool = False
    """True if the record has too many headers, so that none is copied."""


def chunks(
    records: list[ConsumerRecord | Unreadable], pacing: PacingSettings, echo: EchoSettings, limits: Limits
) -> Iterator[list[Request]]:
    """Cut fetched records into chunks, in order. No chunk is empty.

    A record that is not a single image gets its own chunk: it may have ten thousand results, and all results of a chunk
    are published in one transaction.

    Parameters
    ----------
    records
        Records of one partition, in order.
    pacing
        The most records and bytes of a chunk.
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
    """Read a record's headers, and check what may be echoed and whether a worker may read the record.

    Parameters
    ----------
    record
        The record as it was fetched.
    echoed
        The most headers, and the most bytes of what is copied to each result.
    limits
        The most bytes of the value, and the most characters of the file name.

    Returns
    -------
    Request
        If the record exceeds a limit, its task has no payload and is quarantined with the error code of that limit.
    """
    left_out = len(record.headers) > echoed.headers + _extra_replay_headers(record.headers, echoed.headers)
    received = [] if left_out else list(record.headers)
    last = dict(received)
    echo = [(name, last[name]) for name in headers.ECHOED if last.get(name) is not None] if received else []
    filename = last.get(headers.FILENAME) or b""
    code = ErrorCode.TOO_MANY_HEADERS if left_out else _refusal_code(record, echo, filename, echoed, limits)
    echo_key, name = record.key, filename.decode("utf-8", "replace")
    if code in UNECHOED:
        # Copied to each of ten thousand results, a large key or header would multiply what a sender can make us write.
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
    """Return the request of a record that cannot be read: only its topic, partition and offset are known."""
    now_ms = time.time_ns() // 1_000_000
    quarantined = {WHOLE_RECORD: str(ErrorCode.UNREADABLE_RECORD)}
    topic, partition = unreadable.partition
    task = Task(b"", topic, partition, unreadable.offset, now_ms, now_ms, None, None, quarantined)
    return Request(task, None, None, [], None, [], time.monotonic(), RECORD_OVERHEAD_BYTES)


def _extra_replay_headers(received: Headers, max_headers: int) -> int:
    """Return how many more headers a replay may have, so that every accepted request can also be replayed."""
    if len(received) <= max_headers or all(name != headers.REPLAY_OF for name, _ in received):
        return 0
    return len(headers.SET_BY_REPLAY) + 1  # the entry of an archive also gets a file name


def _refusal_code(
    record: ConsumerRecord, echo: Headers, filename: bytes, echoed: EchoSettings, limits: Limits
) -> ErrorCode | None:
    if record.key is not None and len(record.key) > echoed.key_bytes:
        return ErrorCode.KEY_TOO_LARGE
    if len(filename) > echoed.header_bytes or any(len(value) > echoed.header_bytes for _, value in echo):
        return ErrorCode.HEADER_TOO_LARGE
    if not record.value:
        return ErrorCode.EMPTY_RECORD
    if len(record.value) > limits.record_bytes:
        return ErrorCode.RECORD_TOO_LARGE  # the engine checks this too, but only after a worker has received it
    return None


def _size_bytes(received: Headers) -> int:
    return sum(len(name) + len(value or b"") for name, value in received)
