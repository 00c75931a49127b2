"""Turns a record of the requests topic into a request: what is read of it, what is copied, and why it is refused."""

from __future__ import annotations

from typing import NamedTuple

from consumer.workers.batches.rows import READABLE, Block, Row
from consumer.workers.protocol import Rules
from consumer.workers.tasks import Task
from contract import headers, records
from contract.errors import UNECHOED, ErrorCode
from contract.traceparent import TraceParent
from engine.limits import Limits

Headers = tuple[tuple[str, bytes | None], ...]


class Request(NamedTuple):
    """A record of a task."""

    place: int
    """Of its task in the batch."""
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: memoryview
    headers: Headers
    """Key, value and headers as received. They are copied to dead letters. Null and empty values are the same."""
    echo_key: bytes | None
    echo: Headers
    """Key and headers that are copied to every result."""
    request_id: str
    filename: str | None
    refusal: ErrorCode | None = None
    """Why no part of it is read; None if it may be."""
    trace: TraceParent | None = None
    """The sender's trace; None if there is no valid `traceparent` header."""
    headers_left_out: bool = False
    """True if the record has too many headers, so that none is copied."""
    unread: str = ""
    """Why it cannot be parsed."""

    @property
    def echo_bytes(self) -> int:
        """Bytes of the key and headers that are copied to each result."""
        return len(self.echo_key or b"") + sum(len(name) + len(value or b"") for name, value in self.echo)


_NO_VALUE = memoryview(b"")


class RequestReader:
    """Makes requests of the records of one task.

    Parameters
    ----------
    place, task
        The task, and its place in the batch.
    rules, limits
        The most headers, and the most bytes of what is copied to each result; the most bytes of the value, and the most
        characters of the file name.
    """

    def __init__(self, place: int, task: Task, rules: Rules, limits: Limits) -> None:
        self._place = place
        self._task = task
        self._rules = rules
        self._limits = limits

    def request(self, block: Block, row: Row, verdict: ErrorCode | None = None) -> Request:
        """Read a record's headers, and check what may be echoed and whether the record may be read.

        Parameters
        ----------
        block, row
            The record, as it was scanned.
        verdict
            Why a record that cannot be parsed was not scanned, if its batch has ended a worker.
        """
        if row.status != READABLE:
            return self._unread(row.offset, verdict or ErrorCode.UNREADABLE_RECORD, block.reason(row) or "")
        key = None if row.key_length < 0 else bytes(block.data[row.key_start : row.key_start + row.key_length])
        value = block.data[row.value_start : row.value_start + row.value_length] if row.value_length > 0 else _NO_VALUE
        if row.header_count == 0 and (key is None or len(key) <= self._rules.key_bytes):
            name = records.request_id(self._task.topic, self._task.partition, row.offset)
            code = self._value_refusal(value)
            return Request(self._place, row.offset, row.timestamp_ms, key, value, (), key, (), name, None, code)
        return self._with_headers(row, key, value, block.headers(row))

    def _unread(self, offset: int, code: ErrorCode, why: str) -> Request:
        task = self._task
        name = records.request_id(task.topic, task.partition, offset)
        now_ms = task.received_at_ms
        return Request(self._place, offset, now_ms, None, _NO_VALUE, (), None, (), name, None, code, unread=why)

    def _with_headers(self, row: Row, key: bytes | None, value: memoryview, received: Headers) -> Request:
        rules = self._rules
        left_out = len(received) > rules.headers + _extra_replay_headers(received, rules.headers)
        received = () if left_out else received
        last = dict(received)
        echo = tuple([(name, last[name]) for name in headers.ECHOED if last.get(name) is not None])
        filename = last.get(headers.FILENAME) or b""
        code = ErrorCode.TOO_MANY_HEADERS if left_out else self._refusal(key, value, echo, filename)
        echo_key, name = key, filename.decode("utf-8", "replace")
        if code in UNECHOED:
            # Copied to each of ten thousand results, a large key or header would multiply what a sender can make us
            # write.
            echo_key, echo, name = None, (), ""
        elif len(name) > self._limits.name_characters:
            code, name = code or ErrorCode.NAME_TOO_LONG, ""
        request_id = (last.get(headers.REQUEST_ID) or b"").decode("utf-8", "replace") if echo else ""
        traceparent = last.get(headers.TRACEPARENT) if echo else None
        return Request(
            self._place,
            row.offset,
            row.timestamp_ms,
            key,
            value,
            received,
            echo_key,
            echo,
            request_id or records.request_id(self._task.topic, self._task.partition, row.offset),
            name or None,
            code,
            TraceParent.parse(traceparent) if traceparent else None,
            left_out,
        )

    def _refusal(self, key: bytes | None, value: memoryview, echo: Headers, filename: bytes) -> ErrorCode | None:
        if key is not None and len(key) > self._rules.key_bytes:
            return ErrorCode.KEY_TOO_LARGE
        most_bytes = self._rules.header_bytes
        for _, content in (("", filename), *echo):
            if content is not None and len(content) > most_bytes:
                return ErrorCode.HEADER_TOO_LARGE
        return self._value_refusal(value)

    def _value_refusal(self, value: memoryview) -> ErrorCode | None:
        if not value:
            return ErrorCode.EMPTY_RECORD
        # The engine checks this too, but only after the value was copied.
        return ErrorCode.RECORD_TOO_LARGE if len(value) > self._limits.record_bytes else None


def _extra_replay_headers(received: Headers, max_headers: int) -> int:
    """Return how many more headers a replay may have, so that every accepted request can also be replayed."""
    if len(received) <= max_headers or all(name != headers.REPLAY_OF for name, _ in received):
        return 0
    return len(headers.SET_BY_REPLAY) + 1  # the entry of an archive also gets a file name
