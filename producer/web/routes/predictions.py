"""``POST /predict`` and ``POST /predict_batch``: sends the images as one record, and waits for its results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from producer.web.access.callers import Scope
from producer.web.access.guard import Guard
from producer.web.gateway.interface import Answer, Gateway, NewRequest
from producer.web.problems import ProblemError, Refusal, failed
from producer.web.routes import answers, headers
from producer.web.routes.presence import while_connected
from producer.web.routes.stream import Stream
from producer.web.settings import WebSettings
from producer.web.uploads.body import BodyBudget, announced_bytes
from producer.web.uploads.upload import Upload, receive


class Predictions:
    """Answers the requests that send images. Owner: the application."""

    def __init__(self, gateway: Gateway, guard: Guard, settings: WebSettings) -> None:
        self._gateway = gateway
        self._guard = guard
        self._settings = settings
        self._budget = BodyBudget(settings.upload.bodies_bytes)

    async def predict(self, request: Request) -> Response:
        """Read one image."""
        async with self._guard.admit(request, Scope.PREDICT) as caller:
            request_id, _ = await self._send(request, caller.tenant, several=False)
            async with while_connected(request):
                found = await self._in_time(request, request_id, caller.tenant)
            if not found:
                return answers.waiting(request, self._gateway, request_id)
            if found[0].count > 1:  # a file of another kind, in which the service has found an archive
                raise ProblemError(
                    Refusal.SEVERAL_FILES,
                    "The file is an archive: its results are at /requests, and archives belong to /predict_batch.",
                    request_id=request_id,
                )
            if answers.is_failed(result := answers.shown(request, found[0])):
                return failed(result)
            return answers.response(answers.as_json(request, found[0]))

    async def predict_batch(self, request: Request) -> Response:
        """Read several images, or the images of an archive."""
        async with contextlib.AsyncExitStack() as stack:
            caller = await stack.enter_async_context(self._guard.admit(request, Scope.PREDICT))
            request_id, archive = await self._send(request, caller.tenant, several=True)
            if headers.wants_lines(request):
                lines = self._one_by_one(request, request_id, caller.tenant)
                await stack.enter_async_context(contextlib.aclosing(lines))
                async with while_connected(request):
                    first = await anext(lines, None)
                found = [] if first is None else [first]
            else:
                lines = None
                async with while_connected(request):
                    found = await self._in_time(request, request_id, caller.tenant)
            if not found:
                return answers.waiting(request, self._gateway, request_id)
            result = answers.shown(request, found[0])
            if answers.is_failed_whole(result, archive=archive):
                return failed(result)
            if lines is not None:
                # From here on, the stream keeps the place of the request among those of its client.
                return Stream(_lines(request, found[0], lines), headers.NDJSON, stack.pop_all())
            if len(found) < found[0].count:
                return answers.waiting(request, self._gateway, request_id, found)
            return answers.listed(request, request_id, found, complete=True)

    async def _send(self, request: Request, tenant: str, *, several: bool) -> tuple[str, bool]:
        """Receive the body and send it; return the request's id, and whether it is an archive.

        The payload is dropped when this returns: it must not stay in memory while the results are awaited.
        """
        key = headers.idempotency_key(request)
        size_bytes = announced_bytes(request, self._settings.upload)
        if key is None:  # a request that was sent before is not refused
            self._gateway.check_room(size_bytes)
        with self._budget.share() as share:
            upload = await receive(request, self._settings, share, several=several)
            request_id = key or self._gateway.new_request_id()
            request.state.request_id = request_id  # for the report of an unexpected error
            await self._gateway.submit(_new_request(request, upload, request_id, tenant, once=key is not None))
            return request_id, upload.is_archive

    async def _in_time(self, request: Request, request_id: str, tenant: str) -> list[Answer]:
        """Return the answers by index, those that have come when the request is complete, or its time has passed."""
        found: list[Answer] = []
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(headers.wait_s(request, self._settings.wait_s)),
                contextlib.aclosing(self._follow(request_id, tenant)) as following,
            ):
                async for answer in following:
                    found.append(answer)  # noqa: PERF401  # those that came are kept when the time has passed
        return found

    async def _one_by_one(self, request: Request, request_id: str, tenant: str) -> AsyncGenerator[Answer]:
        """Yield answers by index, until the request is complete or the next answer takes too long."""
        limit_s = headers.wait_s(request, self._settings.wait_s)
        async with contextlib.aclosing(self._follow(request_id, tenant)) as found:
            while True:
                try:
                    async with asyncio.timeout(limit_s):
                        answer = await anext(found, None)
                except TimeoutError:
                    return
                if answer is None:
                    return
                yield answer

    async def _follow(self, request_id: str, tenant: str) -> AsyncGenerator[Answer]:
        try:
            async with contextlib.aclosing(self._gateway.follow(request_id, tenant)) as found_here:
                async for answer in found_here:
                    yield answer
        except LookupError:  # sent by another gateway, or long ago
            found = await self._gateway.find(request_id, tenant)
            for answer in () if found is None else found.answers:
                yield answer


async def _lines(request: Request, first: Answer, rest: AsyncIterator[Answer]) -> AsyncIterator[bytes]:
    """Yield each result as a line; the last line says so if results are missing."""
    sent = 1
    yield _line(answers.as_json(request, first))
    async for answer in rest:
        sent += 1
        yield _line(answers.as_json(request, answer))
    if sent < first.count:
        yield _line({"request_id": first.request_id, "status": "waiting", "complete": False})


def _line(content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"


def _new_request(request: Request, upload: Upload, request_id: str, tenant: str, *, once: bool) -> NewRequest:
    return NewRequest(
        request_id=request_id,
        tenant=tenant,
        payload=upload.payload,
        once=once,
        content_type=upload.content_type,
        filename=upload.name,
        traceparent=headers.traceparent(request),
        correlation_id=headers.correlation_id(request),
        seen=headers.wants_seen(request),
    )
