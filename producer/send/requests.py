"""Requests that are to be sent: one of each file, with headers, and refused before the first is sent if too large."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contract import headers
from contract.records import Result, Status
from producer.errors import UsageError
from producer.send.sources import Source, content_type
from transport.admin.cluster import UNLIMITED_BYTES
from transport.record_batch import batch_bytes

OWN_HEADERS: Final = (headers.REQUEST_ID, headers.FILENAME, headers.CONTENT_TYPE)


@dataclass(slots=True)
class OutgoingRequest:
    """A request to send, later with its position and its results. Owner: the command's task."""

    source: Source
    request_id: str
    partition: int | None = None
    """The partition it was written to; None until it is acknowledged. The same holds for `offset`."""
    offset: int | None = None
    results: dict[int, Result] = field(default_factory=dict)
    """By item index."""

    @property
    def complete(self) -> bool:
        """True if every image of the request has its result."""
        first = next(iter(self.results.values()), None)
        return first is not None and len(self.results) == first.item.count

    @property
    def recognised(self) -> bool:
        """True if it is complete and every image is recognised."""
        return self.complete and all(result.status is Status.RECOGNISED for result in self.results.values())


def requests_for(sources: Sequence[Source], repeat: int, request_id: str | None = None) -> list[OutgoingRequest]:
    """Make one request of each source, and repeat the whole list; ids are random (UUID 4) unless one is given.

    Raises
    ------
    UsageError
        One id is given for several requests: their results could not be distinguished.
    """
    if request_id is not None:
        if len(sources) * repeat > 1:
            raise UsageError(
                f"--request-id is for one record, but {len(sources) * repeat:,} would be sent: leave it out"
            )
        return [OutgoingRequest(source, request_id) for source in sources]
    return [OutgoingRequest(source, str(uuid.uuid4())) for _ in range(repeat) for source in sources]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Topic, key, headers and limit, which all records of a command share."""

    topic: str
    key: bytes | None
    extra_headers: Sequence[tuple[str, bytes]]
    limit_bytes: int | None
    """The topic's max.message.bytes; None if unknown."""

    @property
    def max_request_bytes(self) -> int:
        """The producer's own limit, which must not be lower than the topic's."""
        return self.limit_bytes or UNLIMITED_BYTES

    def headers_of(self, request: OutgoingRequest, data: bytes) -> list[tuple[str, bytes]]:
        """Return the headers of a request's record."""
        own = [(headers.REQUEST_ID, request.request_id.encode())]
        filename = request.source.filename
        if filename is not None:
            own.append((headers.FILENAME, filename.encode(errors="replace")))
        own.append((headers.CONTENT_TYPE, content_type(filename, data).encode()))
        return [*own, *self.extra_headers]

    def check(self, request: OutgoingRequest, data: bytes | None = None) -> None:
        """Refuse a record that the topic would not take; without `data`, by the file's size.

        Raises
        ------
        UsageError
            The record is too large; the message names the file, its size and the limit.
        """
        size_bytes = request.source.size_bytes if data is None else len(data)
        if self.limit_bytes is None or size_bytes is None:
            return
        record_headers = self.headers_of(request, data or b"")
        framing_bytes = batch_bytes(self.key, b"", record_headers)
        if size_bytes + framing_bytes > self.limit_bytes:
            raise UsageError(
                f"{request.source.label!r} is too large: it has {size_bytes:,} bytes; topic {self.topic!r} takes "
                f"{self.limit_bytes:,} (max.message.bytes) with key, headers and framing, here {framing_bytes:,}"
            )
