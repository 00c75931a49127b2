"""Writes dead letters: the original bytes of failed items, their origin and the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from consumer.workers.answering.requests import Request
from consumer.workers.answering.results import Failure
from consumer.workers.tasks import Task
from contract import headers, records
from engine.reader import Outcome

Headers = Sequence[tuple[str, bytes | None]]

ATTEMPT: Final = re.compile(rb"[1-9][0-9]{0,8}")
FIRST_ATTEMPT: Final = b"1"
FRAMING_BYTES: Final = 1024
"""An upper bound for what a record batch adds to one record."""


@dataclass(frozen=True, slots=True)
class Item:
    """A failed item of a request."""

    index: int
    count: int
    name: str | None
    failure: Failure
    outcome: Outcome


class DeadLetter(NamedTuple):
    """A record for the dead-letter topic."""

    key: bytes | None
    value: bytes | memoryview | None
    headers: Headers


class DeadLetterWriter:
    """Writes the dead letters of one request.

    Every dead item has origin and reason; `Rules.results_bytes` limits how many there are. The request's headers and
    the item's bytes are copied as long as the limits allow it, the headers first. If key and headers together are too
    large for a record of the topic, both are left out.

    Parameters
    ----------
    task, request
        The request, and its task.
    request_bytes
        The most bytes of all dead letters of the request.
    spent_bytes
        Bytes of those that were written in earlier slices.
    """

    def __init__(self, task: Task, request: Request, *, request_bytes: int, spent_bytes: int) -> None:
        self._task = task
        self._request = request
        self._record_bytes = task.dead_letter_bytes
        self._request_bytes = request_bytes
        self._received = request.headers
        self._repeated_bytes = _size_bytes(self._received)
        self._attempt = _attempt(self._received)
        self.spent_bytes = spent_bytes

    def write(self, item: Item) -> DeadLetter:
        """Return the dead letter of a failed item."""
        request = self._request
        ours = [*self._headers(item), (headers.ATTEMPT, self._attempt)]
        if request.headers_left_out:
            ours.append((headers.HEADERS_LEFT_OUT, b"there are too many"))
        bare_bytes = FRAMING_BYTES + _size_bytes(ours)
        around_bytes = len(request.key or b"") + self._repeated_bytes
        key, theirs = request.key, self._received
        if bare_bytes + around_bytes > self._record_bytes:
            key, theirs = None, ()
            ours.append((headers.HEADERS_LEFT_OUT, b"they do not fit the dead-letter topic"))
        elif theirs and self.spent_bytes + bare_bytes + around_bytes > self._request_bytes:
            theirs = ()
            ours.append((headers.HEADERS_LEFT_OUT, self._too_many()))
        frame_bytes = bare_bytes + len(key or b"") + (self._repeated_bytes if theirs else 0)
        value, left_out = self._value(item, frame_bytes)
        if left_out is not None:
            ours.append((headers.VALUE_LEFT_OUT, left_out))
        self.spent_bytes += frame_bytes + len(value or b"")
        return DeadLetter(key, value, [*theirs, *ours])

    def _value(self, item: Item, frame_bytes: int) -> tuple[bytes | memoryview | None, bytes | None]:
        """Return the bytes of a failed item and None, or None and the reason why they are left out."""
        is_entry = item.outcome.of == "entry"
        value = item.outcome.data if is_entry else self._request.value
        if not value:
            return None, (item.outcome.left_out or "the record has no value that could be read").encode()
        if frame_bytes + len(value) > self._record_bytes:
            return None, b"%d bytes do not fit the dead-letter topic" % len(value)
        if self.spent_bytes + frame_bytes + len(value) > self._request_bytes:
            return None, self._too_many()
        return value, None

    def _too_many(self) -> bytes:
        return b"the dead letters of this record take more than %d bytes" % self._request_bytes

    def _headers(self, item: Item) -> list[tuple[str, bytes]]:
        task, request = self._task, self._request
        result_id = records.result_id(task.topic, task.partition, request.offset, item.index)
        ours = [
            (headers.ORIGIN_TOPIC, task.topic.encode()),
            (headers.ORIGIN_PARTITION, b"%d" % task.partition),
            (headers.ORIGIN_OFFSET, b"%d" % request.offset),
            (headers.ORIGIN_TIMESTAMP_MS, b"%d" % request.timestamp_ms),
            (headers.ITEM_INDEX, b"%d" % item.index),
            (headers.ITEM_COUNT, b"%d" % item.count),
            (headers.RESULT_ID, result_id.encode()),
            (headers.REQUEST_ID, request.request_id.encode()),
            (headers.ERROR_CODE, item.failure.code.encode()),
            (headers.ERROR_MESSAGE, item.failure.message.encode()),
        ]
        if item.name is not None:
            ours.append((headers.ITEM_NAME, item.name.encode("utf-8", "replace")))
        return ours


def _attempt(received: Headers) -> bytes:
    """Return the attempt that a replay has written; 1 if the header is invalid, since any sender can set it."""
    attempt = dict(received).get(headers.ATTEMPT) or b""
    return attempt if ATTEMPT.fullmatch(attempt) else FIRST_ATTEMPT


def _size_bytes(sent: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in sent)
