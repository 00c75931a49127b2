"""A dead letter: the original bytes of what failed, and headers that say where and why.

Key and partition are those of the request (modulo, if the topics' partition counts differ). The
original record's headers come first, as they were; the service's own block follows and begins with
``origin-topic``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from contract import headers, records

Headers = Sequence[tuple[str, bytes]]

_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")  # -1 is the timestamp of a record without one
_ATTEMPT: Final = re.compile(rb"[1-9][0-9]{0,8}")


class NotADeadLetterError(ValueError):
    """The record on the dead-letter topic was not written by the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What the headers of a dead letter say."""

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
    """1 if the header says nothing sensible: it is the request's own."""
    value_left_out: str | None
    """Why there are no bytes; None if they are there."""
    headers_left_out: str | None
    """Why headers of the request, or its key, are not here; None if all are."""
    original_headers: tuple[tuple[str, bytes], ...]
    """The headers of the request, as they were, unless they are left out."""

    @classmethod
    def read(cls, all_headers: Headers) -> Self:
        """Read the headers of a record of the dead-letter topic.

        Raises
        ------
        NotADeadLetterError
            A header is missing, or its value is not what it has to be; the message names it.
        """
        start = _start_of_block(all_headers)
        block = _Block(all_headers[start:])
        letter = cls(
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
        origin = (letter.origin_topic, letter.origin_partition, letter.origin_offset, letter.item_index)
        if letter.result_id != records.result_id(*origin):
            raise NotADeadLetterError(f"{headers.RESULT_ID} {letter.result_id!r} is not that of its origin")
        return letter


def _start_of_block(all_headers: Headers) -> int:
    # The last one: the original record may have had a header of that name, or been a dead letter once.
    for position in range(len(all_headers) - 1, -1, -1):
        if all_headers[position][0] == headers.ORIGIN_TOPIC:
            return position
    raise NotADeadLetterError(f"there is no header {headers.ORIGIN_TOPIC}")


class _Block:
    """The service's own headers, read with one complaint for each way to be wrong."""

    def __init__(self, block: Headers) -> None:
        self._values = dict(block)

    def optional(self, name: str) -> str | None:
        value = self._values.get(name)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            raise NotADeadLetterError(f"header {name} is not UTF-8") from None

    def text(self, name: str) -> str:
        value = self.optional(name)
        if value is None:
            raise NotADeadLetterError(f"there is no header {name}")
        return value

    def number(self, name: str) -> int:
        value = self.text(name)
        if not _NUMBER.fullmatch(value):
            raise NotADeadLetterError(f"header {name} is no number: {value[:40]!r}")
        return int(value)

    def attempt(self) -> int:
        # Copied from the request, where anybody may have written anything.
        value = self._values.get(headers.ATTEMPT, b"")
        return int(value) if _ATTEMPT.fullmatch(value) else 1
