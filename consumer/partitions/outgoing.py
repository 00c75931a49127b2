"""From a request and its answer to the records that are published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from consumer.partitions.requests import Headers, Request
from consumer.workers.protocol import Answer, FailedItem
from contract import headers, records
from contract.topics import TopicSettings
from transport.transactions import OutgoingRecord

ATTEMPT: Final = re.compile(rb"[1-9][0-9]{0,8}")
FIRST_ATTEMPT: Final = b"1"
FRAMING_BYTES: Final = 1024
"""Generous for what a record batch adds to one record."""


class Room(NamedTuple):
    """Bytes for dead letters."""

    record_bytes: int
    """What the dead-letter topic takes as one record."""
    request_bytes: int
    """What all dead letters of one request may have."""


def by_topic(
    answered: list[tuple[Request, Answer]], topics: TopicSettings, room: Room
) -> dict[str, list[OutgoingRecord]]:
    """Everything that a transaction publishes for these requests, in their order; topics with nothing are left out."""
    published = {
        topics.predictions: [record for request, answer in answered for record in results(request, answer)],
        topics.dead_letter: [
            record
            for request, answer in answered
            if answer.failed_items
            for record in dead_letters(request, answer, room)
        ],
    }
    return {topic: records for topic, records in published.items() if records}


def results(request: Request, answer: Answer) -> Iterator[OutgoingRecord]:
    """One record per item, with the request's key and echoed headers."""
    for result in answer.results:
        yield OutgoingRecord(request.echo_key, result, request.echo)


def dead_letters(request: Request, answer: Answer, room: Room) -> Iterator[OutgoingRecord]:
    """One record per failed item: its original bytes, its origin and the reason.

    Origin and reason are always there: `EchoSettings.results_bytes` bounds how many. What came with the request is
    repeated while there is room: its headers on each letter, then the item's bytes. Where the topic does not take key
    and headers in one record, both are left out.
    """
    spent_bytes = 0
    repeated_bytes = _size_bytes(request.headers)
    key_bytes = len(request.key or b"")
    attempt = _attempt(request.headers)
    for letter in answer.failed_items:
        ours = [*_headers(request, letter), (headers.ATTEMPT, attempt)]
        if request.headers_left_out:
            ours.append((headers.HEADERS_LEFT_OUT, b"there are too many"))
        bare_bytes = FRAMING_BYTES + _size_bytes(ours)
        key, theirs = request.key, request.headers
        if bare_bytes + key_bytes + repeated_bytes > room.record_bytes:
            key, theirs = None, []
            ours.append((headers.HEADERS_LEFT_OUT, b"they do not fit the dead-letter topic"))
        elif theirs and spent_bytes + bare_bytes + key_bytes + repeated_bytes > room.request_bytes:
            theirs = []
            ours.append((headers.HEADERS_LEFT_OUT, _too_many(room)))
        frame_bytes = bare_bytes + len(key or b"") + (repeated_bytes if theirs else 0)
        value, left_out = _value(request, letter, frame_bytes, spent_bytes, room)
        if left_out is not None:
            ours.append((headers.VALUE_LEFT_OUT, left_out))
        spent_bytes += frame_bytes + len(value or b"")
        yield OutgoingRecord(key, value, [*theirs, *ours])


def _value(
    request: Request, letter: FailedItem, frame_bytes: int, spent_bytes: int, room: Room
) -> tuple[bytes | None, bytes | None]:
    """Return the bytes of a failed item, or why they are left out."""
    value = request.value if letter.whole else letter.data
    if not value:
        return None, (letter.left_out or "the record has no value that could be read").encode()
    if frame_bytes + len(value) > room.record_bytes:
        return None, b"%d bytes do not fit the dead-letter topic" % len(value)
    if spent_bytes + frame_bytes + len(value) > room.request_bytes:
        return None, _too_many(room)
    return value, None


def _too_many(room: Room) -> bytes:
    return b"the dead letters of this record take more than %d bytes" % room.request_bytes


def _headers(request: Request, letter: FailedItem) -> Headers:
    task = request.task
    result_id = records.result_id(task.topic, task.partition, task.offset, letter.index)
    request_id = task.request_id or records.request_id(task.topic, task.partition, task.offset)
    ours = [
        (headers.ORIGIN_TOPIC, task.topic.encode()),
        (headers.ORIGIN_PARTITION, b"%d" % task.partition),
        (headers.ORIGIN_OFFSET, b"%d" % task.offset),
        (headers.ORIGIN_TIMESTAMP_MS, b"%d" % task.timestamp_ms),
        (headers.ITEM_INDEX, b"%d" % letter.index),
        (headers.ITEM_COUNT, b"%d" % letter.count),
        (headers.RESULT_ID, result_id.encode()),
        (headers.REQUEST_ID, request_id.encode()),
        (headers.ERROR_CODE, letter.code.encode()),
        (headers.ERROR_MESSAGE, letter.message.encode()),
    ]
    if letter.name is not None:
        ours.append((headers.ITEM_NAME, letter.name.encode("utf-8", "replace")))
    return ours


def _attempt(received: Headers) -> bytes:
    """Return what a replay has written; from anyone else anything may come."""
    attempt = dict(received).get(headers.ATTEMPT) or b""
    return attempt if ATTEMPT.fullmatch(attempt) else FIRST_ATTEMPT


def _size_bytes(these: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in these)
