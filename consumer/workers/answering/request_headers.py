"""What the headers of a record say: its id, file name and trace, what is copied to each result, what is asked for."""

from __future__ import annotations

from typing import Final

import msgspec

from consumer.workers.batches.rows import parse_headers
from consumer.workers.protocol import Rules
from consumer.workers.tasks import OTHERS
from contract import headers
from contract.errors import ErrorCode
from engine.limits import Limits
from transport.batches.building import NO_HEADERS, joined_headers, sized

_ECHOED: Final = tuple((name.encode(), sized(name.encode())) for name in headers.ECHOED)
_REQUEST_ID, _TRACEPARENT = headers.REQUEST_ID.encode(), headers.TRACEPARENT.encode()
_FILENAME, _REPLAY_OF, _SEEN = headers.FILENAME.encode(), headers.REPLAY_OF.encode(), headers.SEEN.encode()
_MORE_OF_REPLAYS: Final = len(headers.SET_BY_REPLAY) + 1
"""How many more headers a replay may have, so that every accepted request can also be replayed. The entry of an archive
also gets a file name."""

SENDER_BYTES: Final = 100
"""A longer name is no label of a metric: such senders count as others."""
REMEMBERED_BYTES: Final = 4096
"""Larger headers are not kept for the next record: with its own, they would take twice their memory."""


class RequestHeaders(msgspec.Struct, frozen=True, gc=False):
    """What is read of the headers of a record. Null and empty values are the same."""

    echo: bytes = NO_HEADERS
    """The headers that are copied to each result, as a `header_block`."""
    request_id: str = ""
    """Empty if the sender gives none."""
    filename: str | None = None
    traceparent: bytes | None = None
    refusal: ErrorCode | None = None
    """Why the record is not read."""
    wants_seen: bool = False
    """True if the sender asks for the picture that the model saw."""
    sender: str = OTHERS
    """For the comparison of readings by sender."""
    is_echoed: bool = True
    """False if neither these headers nor the key are copied to the results: each of ten thousand would have them, and
    what is too large would multiply what a sender can make us write."""


NO_HEADERS_SENT: Final = RequestHeaders()
KEY_TOO_LARGE: Final = RequestHeaders(refusal=ErrorCode.KEY_TOO_LARGE, is_echoed=False)
HEADER_TOO_LARGE: Final = RequestHeaders(refusal=ErrorCode.HEADER_TOO_LARGE, is_echoed=False)
TOO_MANY_HEADERS: Final = RequestHeaders(refusal=ErrorCode.TOO_MANY_HEADERS, is_echoed=False)


class HeaderReader:
    """Reads headers, which are often the same in one record after the other: then they are parsed once.

    Parameters
    ----------
    rules, limits
        The most headers, and the most bytes of what is copied to each result; the most characters of the file name.
    """

    def __init__(self, rules: Rules, limits: Limits) -> None:
        self._rules = rules
        self._limits = limits
        self._sender = rules.sender_header.encode()
        self._last_data = b""
        self._last = NO_HEADERS_SENT

    def read(self, data: bytes, count: int) -> RequestHeaders:
        """Read headers; the parameters are those of `parse_headers`. The same bytes always have the same number."""
        if data == self._last_data:
            return self._last
        read = self._read(data, count)
        if len(data) <= REMEMBERED_BYTES:
            self._last_data, self._last = data, read
        return read

    def _read(self, data: bytes, count: int) -> RequestHeaders:
        last = dict(parse_headers(data, count))
        if count > self._rules.headers + (_MORE_OF_REPLAYS if _REPLAY_OF in last else 0):
            return TOO_MANY_HEADERS
        most_bytes = self._rules.header_bytes
        filename = last.get(_FILENAME) or b""
        if len(filename) > most_bytes:
            return HEADER_TOO_LARGE
        echo: list[bytes] = []
        for header, sized_header in _ECHOED:
            value = last.get(header)
            if value is not None:
                if len(value) > most_bytes:
                    return HEADER_TOO_LARGE
                echo += sized_header, sized(value)
        name = filename.decode("utf-8", "replace")
        is_too_long = len(name) > self._limits.name_characters
        return RequestHeaders(
            joined_headers(echo) if echo else NO_HEADERS,
            (last.get(_REQUEST_ID) or b"").decode("utf-8", "replace"),
            None if is_too_long else name or None,
            last.get(_TRACEPARENT) or None,
            ErrorCode.NAME_TOO_LONG if is_too_long else None,
            last.get(_SEEN) == headers.SEEN_ASKED,
            sender=self._sender_of(last.get(self._sender)),
        )

    @staticmethod
    def _sender_of(name: bytes | None) -> str:
        return name.decode("utf-8", "replace") if name and len(name) <= SENDER_BYTES else OTHERS
