"""Sending: every file one record, as it is, and the answers to it.

check    find the files, look at the topics, refuse what cannot fit: before the first record goes out
send     an idempotent producer; a window of bytes is under way, so memory does not grow with the files
wait     read the results committed since before the first record, until every request has all of its own
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
from producer.errors import UsageProblem
from producer.send.results import NoResult, Results
from producer.send.sources import Source, content_type
from transport.admin.cluster import UNLIMITED_BYTES
from transport.clients import within
from transport.errors import KafkaRequestError
from transport.reading.record_batch import batch_bytes

IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
"""Read and not yet acknowledged, at most; a larger record goes alone."""
OWN_HEADERS: Final = (headers.REQUEST_ID, headers.FILENAME, headers.CONTENT_TYPE)


@dataclass(slots=True)
class Request:
    """One record to send, and what came of it. Owner: the command's task."""

    source: Source
    request_id: str
    partition: int | None = None
    """Where it lies; None until acknowledged. So is `offset`."""
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


def requests_for(sources: Sequence[Source], repeat: int, request_id: str | None = None) -> list[Request]:
    """Make one request of each source, `repeat` times the whole list; ids are random (UUID 4) unless one is given.

    Raises
    ------
    UsageProblem
        One id is given for several requests: their results could not be told apart.
    """
    if request_id is not None:
        if len(sources) * repeat > 1:
            raise UsageProblem(f"--request-id is for one record; these are {len(sources) * repeat:,}")
        return [Request(source, request_id) for source in sources]
    return [Request(source, str(uuid.uuid4())) for _ in range(repeat) for source in sources]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all records of a command have in common."""

    topic: str
    key: bytes | None
    extra_headers: Sequence[tuple[str, bytes]]
    limit_bytes: int | None
    """The topic's max.message.bytes, None if unknown."""

    @property
    def max_request_bytes(self) -> int:
        """What the producer has to let through."""
        return self.limit_bytes or UNLIMITED_BYTES

    def headers_of(self, request: Request, data: bytes) -> list[tuple[str, bytes]]:
        """Return the headers of a request's record."""
        own = [(headers.REQUEST_ID, request.request_id.encode())]
        filename = request.source.filename
        if filename is not None:
            own.append((headers.FILENAME, filename.encode(errors="replace")))
        own.append((headers.CONTENT_TYPE, content_type(filename, data).encode()))
        return [*own, *self.extra_headers]

    def check(self, request: Request, data: bytes | None = None) -> None:
        """Refuse a record that the topic would not take; without its data, by the file's size.

        Raises
        ------
        UsageProblem
            Names the file, its size and the limit.
        """
        size_bytes = request.source.size_bytes if data is None else len(data)
        if self.limit_bytes is None or size_bytes is None:
            return
        record_headers = self.headers_of(request, data or b"")
        framing_bytes = batch_bytes(self.key, b"", record_headers)
        if size_bytes + framing_bytes > self.limit_bytes:
            raise UsageProblem(
                f"{request.source.label!r} has {size_bytes:,} bytes; topic {self.topic!r} takes "
                f"{self.limit_bytes:,} (max.message.bytes) with key, headers and framing, here {framing_bytes:,}"
            )


class Sender:
    """Puts requests on the topic. Owner: the command's task."""

    def __init__(self, producer: AIOKafkaProducer, envelope: Envelope, sent: Callable[[Request], None]) -> None:
        self._producer = producer
        self._envelope = envelope
        self._sent = sent
        self._under_way: collections.deque[tuple[Request, int, asyncio.Future[Any]]] = collections.deque()
        self._under_way_bytes = 0
        self.acknowledged = 0

    async def send(self, requests: Sequence[Request]) -> None:
        """Send all of them and return when all are acknowledged; `sent` hears of each.

        Raises
        ------
        KafkaRequestError
            Kafka refused one, or did not answer in time; says how many it has for certain.
        UsageProblem
            A file cannot be read any more, or has grown beyond the topic's limit.
        """
        try:
            for request in requests:
                await self._send_one(request)
            while self._under_way:
                await self._settle_oldest()
        except KafkaRequestError as error:
            raise KafkaRequestError(
                f"{error}; {self.acknowledged} of {len(requests)} records are acknowledged, "
                f"the fate of up to {len(self._under_way) + 1} more is unknown"
            ) from error
        finally:
            for _, _, future in self._under_way:
                future.cancel()  # nobody will ask for it any more; the record may still arrive

    async def _send_one(self, request: Request) -> None:
        data = await asyncio.to_thread(request.source.read)
        self._envelope.check(request, data)
        while self._under_way and self._under_way_bytes + len(data) > IN_FLIGHT_BYTES:
            await self._settle_oldest()
        async with within(f"send {request.source.label!r}"):
            future = await self._producer.send(
                self._envelope.topic,
                data,
                key=self._envelope.key,
                headers=self._envelope.headers_of(request, data),
            )
        self._under_way.append((request, len(data), future))
        self._under_way_bytes += len(data)

    async def _settle_oldest(self) -> None:
        request, size_bytes, future = self._under_way.popleft()
        self._under_way_bytes -= size_bytes
        async with within(f"send {request.source.label!r}"):
            metadata = await future
        request.partition, request.offset = metadata.partition, metadata.offset
        self.acknowledged += 1
        self._sent(request)


async def wait_for_results(
    results: Results, requests: Sequence[Request], timeout_s: float, answered: Callable[[Request], None]
) -> None:
    """Fill in the requests' results; return when all are complete or the time is up.

    Parameters
    ----------
    results
        Opened before the first of the requests was sent.
    requests
        To be answered; a result that belongs to none of them is passed over.
    timeout_s
        How long to wait in all.
    answered
        Hears of each request once it is complete.
    """
    deadline_s = time.monotonic() + timeout_s
    open_requests = {request.request_id: request for request in requests if not request.complete}
    while open_requests and (left_s := deadline_s - time.monotonic()) > 0:
        for result in await results.next_batch(poll_ms=min(500, int(left_s * 1000) + 1)):
            if isinstance(result, NoResult) or result.request_id not in open_requests:
                continue
            request = open_requests[result.request_id]
            if (result.source.partition, result.source.offset) != (request.partition, request.offset):
                continue  # of another request that was given the same id
            request.results[result.item.index] = result
            if request.complete:
                del open_requests[result.request_id]
                answered(request)
