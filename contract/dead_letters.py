"""A dead letter: the original bytes of a failed item, and headers that say where it came from and why it failed.

Key and partition are those of the request (the partition modulo the topic's partition count, if the counts differ).
The headers of the request come first, unchanged. The headers of the service follow; the first of them is
``origin-topic``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from contract import headers, records

Headers = Sequence[tuple[str, bytes]]

_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")  # -1 is the timestamp of a record that has none
_ATTEMPT: Final = re.compile(rb"[1-9][0-9]{0,8}")


class InvalidDeadLetterError(ValueError):
    """A record on the dead-letter topic is not a dead letter: the service has not written it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """The content of a dead letter's headers."""

    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_timestamp_ms: int
    item_index: int
    item_count: int
    item_name: str | None
    result_id: str
    request_id: str
    error_code: str
    error_message: str
    attempt: int
    """1 if the header is missing or invalid: it comes from the request."""
    value_left_out: str | None
    """Why the record has no value; None if it has one."""
    headers_left_out: str | None
    """Why headers of the request, or its key, are left out; None if all are here."""
    original_headers: tuple[tuple[str, bytes], ...]
    """The headers of the request, unchanged, unless they are left out."""

    @classmethod
    def read(cls, all_headers: Headers) -> Self:
        """Parse the headers of a record of the dead-letter topic.

        Raises
        ------
        InvalidDeadLetterError
            A header is missing or invalid; the message names it.
        """
        start = _start_of_block(all_headers)
        block = _Block(all_headers[start:])
        dead_letter = cls(
            origin_topic=block.text(headers.ORIGIN_TOPIC),
            origin_partition=block.number(headers.ORIGIN_PARTITION),
            origin_offset=block.number(headers.ORIGIN_OFFSET),
            origin_timestamp_ms=block.number(headers.ORIGIN_TIMESTAMP_MS),
            item_index=block.number(headers.ITEM_INDEX),
            item_count=block.number(headers.ITEM_COUNT),
            item_name=block.optional(headers.ITEM_NAME),
            result_id=block.text(headers.RESULT_ID),
            request_id=block.text(headers.REQUEST_ID),
            error_code=block.text(headers.ERROR_CODE),
            error_message=block.text(headers.ERROR_MESSAGE),
            attempt=block.attempt(),
            value_left_out=block.optional(headers.VALUE_LEFT_OUT),
            headers_left_out=block.optional(headers.HEADERS_LEFT_OUT),
            original_headers=tuple(all_headers[:start]),
        )
        origin = (
            dead_letter.origin_topic,
            dead_letter.origin_partition,
            dead_letter.origin_offset,
            dead_letter.item_index,
        )
        if dead_letter.result_id != records.result_id(*origin):
            raise InvalidDeadLetterError(
                f"header {headers.RESULT_ID} does not match the origin headers: {dead_letter.result_id!r}"
            )
        return dead_letter


def _start_of_block(all_headers: Headers) -> int:
    # The last one: the request may have a header of that name itself, for example if it was a dead letter before.
    for position in range(len(all_headers) - 1, -1, -1):
        if all_headers[position][0] == headers.ORIGIN_TOPIC:
            return position
    raise InvalidDeadLetterError(f"header {headers.ORIGIN_TOPIC} is missing")


class _Block:
    """The headers of the service; each method parses one of them, or raises an error that names it."""

    def __init__(self, block: Headers) -> None:
        self._values = dict(block)

    def optional(self, name: str) -> str | None:
        value = self._values.get(name)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            raise InvalidDeadLetterError(f"header {name} is not UTF-8") from None

    def text(self, name: str) -> str:
        value = self.optional(name)
        if value is None:
            raise InvalidDeadLetterError(f"header {name} is missing")
        return value

    def number(self, name: str) -> int:
        value = self.text(name)
        if not _NUMBER.fullmatch(value):
            raise InvalidDeadLetterError(f"header {name} is not a number: {value[:40]!r}")
        return int(value)

    def attempt(self) -> int:
        # Copied from the request, so its sender may have written anything.
        value = self._values.get(headers.ATTEMPT, b"")
        return int(value) if _ATTEMPT.fullmatch(value) else 1
