"""Sends each file as one record, and collects the results of these requests.

check    before the first record is sent: find the files, read the topic's limit, refuse a record that does not fit
send     with an idempotent producer; the bytes in flight are bounded, so memory does not grow with the files
wait     read the results committed since before the first record, until every request has all of its results
"""

from __future__ import annotations

import asyncio
import collections
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from contract import headers
from contract.records import Result, Status
from producer.errors import UsageError
from producer.send.results import InvalidResult, Results
from producer.send.sources import Source, content_type
from transport.admin.cluster import UNLIMITED_BYTES
from transport.clients import request_deadline
from transport.errors import KafkaRequestError
from transport.record_batch import batch_bytes

IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
"""Bytes of records that are read and not acknowledged, at most; a larger record is sent alone."""

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


class Sender:
    """Writes requests to the topic. Owner: the command's task."""

    def __init__(
        self, producer: AIOKafkaProducer, envelope: Envelope, on_acknowledged: Callable[[OutgoingRequest], None]
    ) -> None:
        self._producer = producer
        self._envelope = envelope
        self._on_acknowledged = on_acknowledged
        self._in_flight: collections.deque[tuple[OutgoingRequest, int, asyncio.Future[Any]]] = collections.deque()
        self._in_flight_bytes = 0
        self.acknowledged = 0

    async def send(self, requests: Sequence[OutgoingRequest]) -> None:
        """Send the requests and return when all are acknowledged; `on_acknowledged` is called for each.

        Raises
        ------
        KafkaRequestError
            Kafka refused a request, or did not answer in time; the message says how many are acknowledged.
        UsageError
            A file can no longer be read, or has grown beyond the topic's limit.
        """
        try:
            for request in requests:
                await self._send_one(request)
            while self._in_flight:
                await self._await_oldest()
        except KafkaRequestError as error:
            raise KafkaRequestError(
                f"{error}; {self.acknowledged} of {len(requests)} records are acknowledged, "
                f"up to {len(self._in_flight) + 1} more may have been written"
            ) from error
        finally:
            for _, _, future in self._in_flight:
                future.cancel()  # nothing awaits it any more; the record may still be written

    async def _send_one(self, request: OutgoingRequest) -> None:
        data = await asyncio.to_thread(request.source.read)
        self._envelope.check(request, data)
        while self._in_flight and self._in_flight_bytes + len(data) > IN_FLIGHT_BYTES:
            await self._await_oldest()
        async with request_deadline(f"send {request.source.label!r}"):
            future = await self._producer.send(
                self._envelope.topic,
                data,
                key=self._envelope.key,
                headers=self._envelope.headers_of(request, data),
            )
        self._in_flight.append((request, len(data), future))
        self._in_flight_bytes += len(data)

    async def _await_oldest(self) -> None:
        request, size_bytes, future = self._in_flight.popleft()
        self._in_flight_bytes -= size_bytes
        async with request_deadline(f"send {request.source.label!r}"):
            metadata = await future
        request.partition, request.offset = metadata.partition, metadata.offset
        self.acknowledged += 1
        self._on_acknowledged(request)


async def wait_for_results(
    results: Results,
    requests: Sequence[OutgoingRequest],
    timeout_s: float,
    on_answered: Callable[[OutgoingRequest], None],
) -> None:
    """Collect the requests' results; return when all are complete or the time is over.

    Parameters
    ----------
    results
        Opened before the first of the requests was sent.
    requests
        The requests to wait for; results of other requests are ignored.
    timeout_s
        How long to wait in total.
    on_answered
        Is called with each request once it is complete.
    """
    deadline_s = time.monotonic() + timeout_s
    open_requests = {request.request_id: request for request in requests if not request.complete}
    while open_requests and (left_s := deadline_s - time.monotonic()) > 0:
        for result in await results.next_batch(poll_ms=min(500, int(left_s * 1000) + 1)):
            if isinstance(result, InvalidResult) or result.request_id not in open_requests:
                continue
            request = open_requests[result.request_id]
            if (result.source.partition, result.source.offset) != (request.partition, request.offset):
                continue  # the result of another request with the same id
            request.results[result.item.index] = result
            if request.complete:
                del open_requests[result.request_id]
                on_answered(request)
