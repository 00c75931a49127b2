"""``GET /requests/{id}``: the results of a request so far. ``GET /results``: live results, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from producer.web.access.callers import Caller, Scope
from producer.web.access.guard import Guard
from producer.web.gateway.interface import Answer, Gateway, Missed
from producer.web.problems import ProblemError, Refusal
from producer.web.routes import answers
from producer.web.routes.presence import while_connected
from producer.web.routes.stream import Stream
from producer.web.settings import WebSettings

HEARTBEAT_S: Final = 15.0
"""So often a comment is sent if there are no results: so both sides notice a connection that is lost."""
CHECK_S: Final = 1.0
"""So often it is checked whether the client may still read: its key may be removed, or its token expired."""
RETRY_MS: Final = 2_000


class Results:
    """Answers the requests that read results. Owner: the application."""

    def __init__(self, gateway: Gateway, guard: Guard, settings: WebSettings, stopping: asyncio.Event) -> None:
        self._gateway = gateway
        self._guard = guard
        self._settings = settings
        self._stopping = stopping

    async def find(self, request: Request) -> Response:
        """Show the results of a request so far."""
        async with self._guard.admit(request, Scope.READ) as caller:
            request_id: str = request.path_params["request_id"]
            request.state.request_id = request_id  # for the report of an unexpected error
            async with while_connected(request):
                found = await self._gateway.find(request_id, caller.tenant)
            if found is None:
                raise ProblemError(
                    Refusal.UNKNOWN_REQUEST,
                    "It was not sent by this client, or so long ago that it is no longer in the topic.",
                )
            return answers.listed(request, found.request_id, found.answers, complete=found.complete)

    async def live(self, request: Request) -> Response:
        """Show the results of the caller's tenant as they come."""
        async with contextlib.AsyncExitStack() as stack:
            caller = await stack.enter_async_context(self._guard.admit(request, Scope.READ))
            reading = Reading(self._gateway.live(caller.tenant))
            stack.push_async_callback(reading.close)
            await reading.start()
            content = self._events(request, reading, caller)
            # The stream keeps its place among the requests of its client.
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return Stream(content, "text/event-stream", stack.pop_all(), headers)

    async def _events(self, request: Request, reading: Reading, caller: Caller) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        checked_s = beaten_s = loop.time()
        ends_at_s = checked_s + self._settings.live_s
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._stopping.is_set() and (left_s := ends_at_s - loop.time()) > 0:
            if loop.time() - checked_s >= CHECK_S:
                # The client connects again, and the refusal says then why it may not read.
                if not await self._guard.still_admits(request, caller, Scope.READ):
                    return
                checked_s = loop.time()
            try:
                item = await reading.next(self._stopping, min(CHECK_S, left_s))
            except TimeoutError:
                if loop.time() - beaten_s >= HEARTBEAT_S:
                    beaten_s = loop.time()
                    yield b": no results\n\n"
                continue
            if item is None:
                return
            beaten_s = loop.time()
            yield _event(request, item)


class Reading:
    """Reads live results with time limits that do not end the reading. Owner: the request's task."""

    def __init__(self, found: AsyncGenerator[Answer | Missed, None]) -> None:
        self._found = found
        self._next: asyncio.Task[Answer | Missed | None] | None = None

    async def start(self) -> None:
        """Take the first step, so that a refusal is raised before the response begins.

        Raises
        ------
        BusyError
            There are too many readers.
        """
        self._next = asyncio.create_task(self._advance(), name="next live result")
        await asyncio.sleep(0)
        if self._next.done():
            self._next.result()

    async def next(self, stopping: asyncio.Event, limit_s: float) -> Answer | Missed | None:
        """Return the next result; None at the end, or when the server stops.

        Raises
        ------
        TimeoutError
            There was none in time.
        """
        # The task is not cancelled by the time limit, because that would end the iterator.
        self._next = self._next or asyncio.create_task(self._advance(), name="next live result")
        stop = asyncio.create_task(stopping.wait(), name="server stops")
        try:
            await asyncio.wait({self._next, stop}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if self._next.done():
                item, self._next = self._next.result(), None
                return item
            if stop.done():
                return None
            raise TimeoutError
        finally:
            stop.cancel()

    async def close(self) -> None:
        """End the reading."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
        await self._found.aclose()

    async def _advance(self) -> Answer | Missed | None:
        return await anext(self._found, None)


def _event(request: Request, item: Answer | Missed) -> bytes:
    if isinstance(item, Missed):
        return b"event: lost\ndata: %s\n\n" % msgspec.json.encode({"count": item.count})
    position = f"{item.record.partition}:{item.record.offset}".encode()
    shown = msgspec.json.encode(answers.as_json(request, item))
    return b"event: result\nid: %s\ndata: %s\n\n" % (position, shown)
