"""Sends each file as one record, and collects the results of these requests.

send     with an idempotent producer; the bytes in flight are bounded, so memory does not grow with the files
wait     read the results committed since before the first record, until every request has all of its results
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from producer.send.requests import Envelope, OutgoingRequest
from producer.send.results import InvalidResult, Results
from transport.clients import request_deadline
from transport.errors import KafkaRequestError

IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
"""Bytes of records that are read and not acknowledged, at most; a larger record is sent alone."""


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
