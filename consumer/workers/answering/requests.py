"""Turns a record of the requests topic into a request: what is read of it, what is copied, and why it is refused."""

from __future__ import annotations

from typing import Final

import msgspec

from consumer.workers.answering.request_headers import KEY_TOO_LARGE, NO_HEADERS_SENT, TOO_MANY_HEADERS, HeaderReader
from consumer.workers.batches.rows import READABLE, Block, Row, parse_headers
from consumer.workers.protocol import Rules
from consumer.workers.tasks import OTHERS, Task
from contract import records
from contract.errors import ErrorCode
from contract.traceparent import TraceParent
from engine.limits import Limits
from transport.batches.building import NO_HEADERS

Headers = tuple[tuple[str, bytes | None], ...]


class Request(msgspec.Struct, frozen=True, gc=False):
    """A record of a task."""

    place: int
    """Of its task in the batch."""
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: memoryview
    """Null and empty values are the same."""
    header_data: bytes
    header_count: int
    """The headers as received, for `parse_headers`. Key, value and headers are copied to dead letters."""
    echo_key: bytes | None
    echo: bytes
    """Key and headers that are copied to every result; the headers are a `header_block`."""
    request_id: str
    filename: str | None
    refusal: ErrorCode | None = None
    """Why no part of it is read; None if it may be."""
    traceparent: bytes | None = None
    headers_left_out: bool = False
    """True if the record has too many headers, so that none is copied."""
    wants_seen: bool = False
    """True if the sender asks for the picture that the model saw."""
    sender: str = OTHERS
    """For the comparison of readings by sender."""
    unread: str = ""
    """Why it cannot be parsed."""

    @property
    def headers(self) -> Headers:
        """The headers as received. They are parsed for each call, since only dead letters have all of them."""
        return tuple([(name.decode(), value) for name, value in parse_headers(self.header_data, self.header_count)])

    @property
    def trace(self) -> TraceParent | None:
        """The sender's trace; None if there is no valid `traceparent` header. It is parsed for each call."""
        return None if self.traceparent is None else TraceParent.parse(self.traceparent)

    @property
    def echo_bytes(self) -> int:
        """Bytes of the key and headers that are copied to each result."""
        return len(self.echo_key or b"") + len(self.echo)


_NO_VALUE: Final = memoryview(b"")


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
        self._headers = HeaderReader(rules, limits)

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
        key = None if row.key_length < 0 else block.key(row)
        value = block.data[row.value_start : row.value_start + row.value_length] if row.value_length > 0 else _NO_VALUE
        header_data, count = block.headers(row), row.header_count
        said = self._headers.read(header_data, count) if count else NO_HEADERS_SENT
        left_out = said is TOO_MANY_HEADERS
        if left_out:
            header_data, count = b"", 0
        elif key is not None and len(key) > self._rules.key_bytes:
            said = KEY_TOO_LARGE
        return Request(
            self._place,
            row.offset,
            row.timestamp_ms,
            key,
            value,
            header_data,
            count,
            key if said.is_echoed else None,
            said.echo,
            said.request_id or records.request_id(self._task.topic, self._task.partition, row.offset),
            said.filename,
            (self._value_refusal(value) or said.refusal) if said.is_echoed else said.refusal,
            said.traceparent,
            left_out,
            said.wants_seen,
            said.sender,
        )

    def _unread(self, offset: int, code: ErrorCode, why: str) -> Request:
        task = self._task
        name = records.request_id(task.topic, task.partition, offset)
        now_ms = task.received_at_ms
        return Request(
            self._place, offset, now_ms, None, _NO_VALUE, b"", 0, None, NO_HEADERS, name, None, code, unread=why
        )

    def _value_refusal(self, value: memoryview) -> ErrorCode | None:
        if not value:
            return ErrorCode.EMPTY_RECORD
        # The engine checks this too, but only after the value was copied.
        return ErrorCode.RECORD_TOO_LARGE if len(value) > self._limits.record_bytes else None
