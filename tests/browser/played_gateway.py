"""A played gateway: the front door's API with the real engine and without Kafka, for one test at a time."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiohttp import BodyPartReader, web

from producer.web.page.files import HEADERS, page_files
from tests.browser.engine_results import EngineResults

Results = list[dict[str, Any]]
Json = dict[str, Any]
_Events = asyncio.Queue[tuple[str, Json] | None]
"""Name and data of the events for one reader; None ends its connection."""

_MOST_BYTES: Final = 32 * 1024 * 1024


@dataclass
class _Request:
    """A request, and what is known of it so far."""

    id: str
    seen: bool
    """True if its sender has asked for what the model saw."""
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    results: Results = field(default_factory=list)


class PlayedGateway:
    """Answers what a page asks. A test may hold back the answers, refuse requests, or ask for a key."""

    def __init__(self, engine: EngineResults) -> None:
        self.accepted: list[str] = []
        """The idempotency keys of the requests that were taken, each once."""
        self.asked: list[str] = []
        """Method and path of every HTTP request."""
        self.key: str | None = None
        """If set, requests need it."""
        self.refusals: list[tuple[int, Json, dict[str, str]]] = []
        """Status, problem and headers of the answers to the next requests that send something."""
        self.url = ""
        self._engine = engine
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._reply_at_once = True
        self._requests: dict[str, _Request] = {}
        self._readers: set[_Events] = set()
        self._answering: set[asyncio.Task[None]] = set()
        app = web.Application(client_max_size=_MOST_BYTES, middlewares=[self._guard])
        app.router.add_get("/health", self._health)
        for prefix in ("", "/v1"):
            app.router.add_post(f"{prefix}/predict", self._predict)
            app.router.add_post(f"{prefix}/predict_batch", self._predict)
            app.router.add_get(f"{prefix}/requests/{{id}}", self._find)
            app.router.add_get(f"{prefix}/results", self._live)
        for path, file in page_files().items():
            app.router.add_get(path, _serve(file.content_type, file.content))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._runner.cleanup()

    def hold(self, *, reply_at_once: bool = True) -> None:
        """Answer nothing until `release`: requests get a 202 at once, or no reply."""
        self._may_answer.clear()
        self._reply_at_once = reply_at_once

    def release(self) -> None:
        """Answer what waits, and what comes."""
        self._may_answer.set()

    def drop_readers(self) -> None:
        """End every connection that follows the live results."""
        for reader in self._readers:
            reader.put_nowait(None)

    def pass_over(self, count: int) -> None:
        """Report to those who follow the live results that they were too slow for some."""
        for reader in self._readers:
            reader.put_nowait(("lost", {"count": count}))

    @property
    def readers(self) -> int:
        """How many follow the live results."""
        return len(self._readers)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        api = request.path.removeprefix("/v1").startswith(("/predict", "/requests", "/results"))
        if api and self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _problem(401, {"title": "Unauthorized", "detail": "The key is missing or unknown."})
        if request.method == "POST" and self.refusals:
            status, problem, headers = self.refusals.pop(0)
            return _problem(status, problem, headers)
        response: web.StreamResponse = await handler(request)
        return response

    async def _predict(self, request: web.Request) -> web.Response:
        files = await _uploads(request)
        key = request.headers.get("Idempotency-Key", uuid.uuid4().hex)
        if key not in self._requests:
            self.accepted.append(key)
            self._requests[key] = _Request(key, _asks(request))
            task = asyncio.create_task(self._answer(self._requests[key], files), name=f"answer {key}")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        found = self._requests[key]
        if self._reply_at_once and not self._may_answer.is_set():
            return web.json_response({"request_id": key, "status": "waiting"}, status=202)
        await found.complete.wait()
        if request.path.endswith("batch"):
            return web.json_response(_found(request, found))
        [result] = found.results
        if result["error"] is None:
            return web.json_response(_shown(request, result))
        error = result["error"]
        return _problem(422, {**result, "title": "The image cannot be read", "detail": error["message"], **error})

    async def _answer(self, request: _Request, files: list[tuple[str, bytes]]) -> None:
        await self._may_answer.wait()
        for name, payload in files:
            for result in await asyncio.to_thread(self._engine.results, request.id, name, payload, seen=request.seen):
                request.results.append(result)
                for reader in self._readers:
                    reader.put_nowait(("result", result))
        request.complete.set()

    async def _find(self, request: web.Request) -> web.Response:
        found = self._requests.get(request.match_info["id"])
        if found is None:
            return _problem(404, {"title": "Not found", "detail": "No request has this id."})
        return web.json_response(_found(request, found))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        queue: _Events = asyncio.Queue()
        self._readers.add(queue)  # before the page can know that it is live
        try:
            await response.prepare(request)
            await response.write(b": welcome\n\n")
            while (event := await queue.get()) is not None:
                name, data = event
                position = f"id: {data['partition']}:{data['offset']}\n" if name == "result" else ""
                shown = _shown(request, data)
                await response.write(f"event: {name}\n{position}data: {json.dumps(shown)}\n\n".encode())
        finally:
            self._readers.discard(queue)
        return response

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})


async def _uploads(request: web.Request) -> list[tuple[str, bytes]]:
    """Return name and bytes of each file of a multipart body."""
    files = []
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        assert part.name in {"file", "files"}
        files.append((part.filename or "", bytes(await part.read())))
    return files


def _found(request: web.Request, found: _Request) -> Json:
    results = [_shown(request, result) for result in found.results]
    return {"request_id": found.id, "complete": found.complete.is_set(), "results": results}


def _asks(request: web.Request) -> bool:
    return request.query.get("seen") == "true"


def _shown(request: web.Request, result: Json) -> Json:
    return {name: value for name, value in result.items() if name != "seen" or _asks(request)}


def _problem(status: int, fields: Json, headers: dict[str, str] | None = None) -> web.Response:
    problem = {"type": "about:blank", "code": None, **fields, "status": status}
    return web.json_response(problem, status=status, headers=headers, content_type="application/problem+json")


def _serve(content_type: str, content: bytes) -> Any:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=content, headers={**HEADERS, "Content-Type": content_type})

    return serve
