"""Turns a request and its answer into the records that are published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from consumer.partitions.requests import Headers, Request
from consumer.workers.protocol import Answer, FailedItem
from contract import headers, records
from contract.topics import TopicSettings
from transport.sink.batches import OutgoingRecord

ATTEMPT: Final = re.compile(rb"[1-9][0-9]{0,8}")
FIRST_ATTEMPT: Final = b"1"
FRAMING_BYTES: Final = 1024
"""An upper bound for what a record batch adds to one record."""


class DeadLetterLimits(NamedTuple):
    """The most bytes of dead letters."""

    record_bytes: int
    """The largest record that the dead-letter topic accepts."""
    request_bytes: int
    """The most bytes of all dead letters of one request."""


def records_by_topic(
    answered: list[tuple[Request, Answer]], topics: TopicSettings, limits: DeadLetterLimits
) -> dict[str, list[OutgoingRecord]]:
    """Return what a transaction publishes for these requests, in their order, by topic. No topic has an empty list."""
    published = {
        topics.predictions: [record for request, answer in answered for record in results(request, answer)],
        topics.dead_letter: [
            record
            for request, answer in answered
            if answer.failed_items
            for record in dead_letters(request, answer, limits)
        ],
    }
    return {topic: records for topic, records in published.items() if records}


def results(request: Request, answer: Answer) -> Iterator[OutgoingRecord]:
    """Yield one record per item, with the request's key and echoed headers."""
    for result in answer.results:
        yield OutgoingRecord(request.echo_key, result, request.echo)


def dead_letters(request: Request, answer: Answer, limits: DeadLetterLimits) -> Iterator[OutgoingRecord]:
    """Yield one record per failed item: its original bytes, its origin and the reason.

    Every dead item has origin and reason; `EchoSettings.results_bytes` limits how many there are. The request's
    headers and the item's bytes are copied as long as the limits allow it, the headers first. If key and headers
    together are too large for a record of the topic, both are left out.
    """
    spent_bytes = 0
    repeated_bytes = _size_bytes(request.headers)
    key_bytes = len(request.key or b"")
    attempt = _attempt(request.headers)
    for item in answer.failed_items:
        ours = [*_headers(request, item), (headers.ATTEMPT, attempt)]
        if request.headers_left_out:
            ours.append((headers.HEADERS_LEFT_OUT, b"there are too many"))
        bare_bytes = FRAMING_BYTES + _size_bytes(ours)
        key, theirs = request.key, request.headers
        if bare_bytes + key_bytes + repeated_bytes > limits.record_bytes:
            key, theirs = None, []
            ours.append((headers.HEADERS_LEFT_OUT, b"they do not fit the dead-letter topic"))
        elif theirs and spent_bytes + bare_bytes + key_bytes + repeated_bytes > limits.request_bytes:
            theirs = []
            ours.append((headers.HEADERS_LEFT_OUT, _too_many(limits)))
        frame_bytes = bare_bytes + len(key or b"") + (repeated_bytes if theirs else 0)
        value, left_out = _value(request, item, frame_bytes, spent_bytes, limits)
        if left_out is not None:
            ours.append((headers.VALUE_LEFT_OUT, left_out))
        spent_bytes += frame_bytes + len(value or b"")
        yield OutgoingRecord(key, value, [*theirs, *ours])


def _value(
    request: Request, item: FailedItem, frame_bytes: int, spent_bytes: int, limits: DeadLetterLimits
) -> tuple[bytes | None, bytes | None]:
    """Return the bytes of a failed item and None, or None and the reason why they are left out."""
    value = request.value if item.whole else item.data
    if not value:
        return None, (item.left_out or "the record has no value that could be read").encode()
    if frame_bytes + len(value) > limits.record_bytes:
        return None, b"%d bytes do not fit the dead-letter topic" % len(value)
    if spent_bytes + frame_bytes + len(value) > limits.request_bytes:
        return None, _too_many(limits)
    return value, None


def _too_many(limits: DeadLetterLimits) -> bytes:
    return b"the dead letters of this record take more than %d bytes" % limits.request_bytes


def _headers(request: Request, item: FailedItem) -> Headers:
    task = request.task
    result_id = records.result_id(task.topic, task.partition, task.offset, item.index)
    request_id = task.request_id or records.request_id(task.topic, task.partition, task.offset)
    ours = [
        (headers.ORIGIN_TOPIC, task.topic.encode()),
        (headers.ORIGIN_PARTITION, b"%d" % task.partition),
        (headers.ORIGIN_OFFSET, b"%d" % task.offset),
        (headers.ORIGIN_TIMESTAMP_MS, b"%d" % task.timestamp_ms),
        (headers.ITEM_INDEX, b"%d" % item.index),
        (headers.ITEM_COUNT, b"%d" % item.count),
        (headers.RESULT_ID, result_id.encode()),
        (headers.REQUEST_ID, request_id.encode()),
        (headers.ERROR_CODE, item.code.encode()),
        (headers.ERROR_MESSAGE, item.message.encode()),
    ]
    if item.name is not None:
        ours.append((headers.ITEM_NAME, item.name.encode("utf-8", "replace")))
    return ours


def _attempt(received: Headers) -> bytes:
    """Return the attempt that a replay has written; 1 if the header is invalid, since any sender can set it."""
    attempt = dict(received).get(headers.ATTEMPT) or b""
    return attempt if ATTEMPT.fullmatch(attempt) else FIRST_ATTEMPT


def _size_bytes(sent: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in sent)
