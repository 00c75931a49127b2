"""A gateway in memory that plays the Kafka side of the HTTP server: it answers when a test says so, and counts."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from prometheus_client import Histogram

from contract.errors import ErrorCode
from contract.schema import EXAMPLES
from engine.codecs.formats import payload_format
from producer.web.gateway.interface import (
    Answer,
    Found,
    KeyReusedError,
    Missed,
    NewRequest,
    Position,
    State,
    answer_histogram,
)

READY: Final = State(
    ready=True,
    why_not_ready=None,
    keys_ready=True,
    why_keys_not_ready=None,
    lag=0,
    answered_per_s=100.0,
    delay_s=0.0,
    waiting=0,
    buffered_bytes=0,
    kept_bytes=0,
    live_readers=0,
    keys_held=0,
    keys_forgotten=0,
    sent=0,
    repeated=0,
    answered=0,
    refused=0,
    missed=0,
    key_transactions=0,
    key_transactions_failed=0,
)


SEEN: Final = "iVBORw0KGgo="
"""Stands for the picture that the model saw: the first bytes of a PNG."""


@dataclass
class PlayedGateway:
    """Answers every request at once, unless `hold` is set. Owner: the test."""

    hold: bool = False
    """True: requests wait until `release`."""
    most_answers: int | None = None
    """Only this number of answers of each request come."""
    forgets: bool = False
    """True: `follow` knows nothing, as that of another gateway; `find` does."""
    refusal: Exception | None = None
    """Raised by `submit` and `check_room`."""
    current: State = READY
    sent: list[NewRequest] = field(default_factory=list)
    following: int = 0
    live_items: Sequence[Answer | Missed] = field(default_factory=list)
    live_refusal: Exception | None = None
    live_readers: int = 0
    live_begun: int = 0
    """Live readers since the start; the others have ended."""
    reads: Callable[[bytes], tuple[str, Any]] = field(default_factory=lambda: read)
    answer_seconds: Histogram = field(default_factory=answer_histogram)

    def __post_init__(self) -> None:
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._released = asyncio.Event()

    def release(self) -> None:
        self.hold = False
        self._released.set()

    def new_request_id(self) -> str:
        return f"made-{len(self.sent)}"

    def check_room(self, size_bytes: int = 0) -> None:
        del size_bytes
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, request: NewRequest) -> bool:
        self.check_room(len(request.payload))
        name = (request.tenant, request.request_id)
        earlier = [one for one in self.sent if (one.tenant, one.request_id) == name]
        if earlier:
            if earlier[0].payload != request.payload:
                raise KeyReusedError("The key was used before, for other bytes.")
            return False
        self.sent.append(request)
        self._answers[name] = answers_to(request, len(self.sent), self.reads)
        return True

    async def follow(self, request_id: str, tenant: str) -> AsyncGenerator[Answer, None]:
        found = self._answers.get((tenant, request_id))
        if found is None or self.forgets:
            raise LookupError(request_id)
        self.following += 1
        try:
            for answer in found[: self.most_answers]:
                if self.hold:
                    await self._released.wait()
                yield answer
            if self.most_answers is not None and self.most_answers < len(found):
                await asyncio.Event().wait()
        finally:
            self.following -= 1

    async def find(self, request_id: str, tenant: str) -> Found | None:
        found = self._answers.get((tenant, request_id))
        if found is None:
            return None
        so_far = [] if self.hold else found[: self.most_answers]
        return Found(request_id, so_far, complete=len(so_far) == len(found))

    async def live(self, tenant: str) -> AsyncGenerator[Answer | Missed, None]:
        del tenant
        if self.live_refusal is not None:
            raise self.live_refusal
        self.live_readers += 1
        self.live_begun += 1
        try:
            for item in self.live_items:
                yield item
            await asyncio.Event().wait()
        finally:
            self.live_readers -= 1

    def state(self) -> State:
        return replace(self.current, waiting=self.following, sent=len(self.sent))


def read(data: bytes) -> tuple[str, Any]:
    """Play the model: status, and the digit or the code of the error. An image is read as its length modulo 10."""
    if payload_format(data) is None:
        return "failed", ErrorCode.UNKNOWN_FORMAT
    return "recognised", len(data) % 10


def answers_to(request: NewRequest, offset: int, reads: Callable[[bytes], tuple[str, Any]] = read) -> list[Answer]:
    """Return the answers to a request, one for each image."""
    images: list[tuple[str | None, bytes]] = [(request.filename, request.payload)]
    failure = None
    if payload_format(request.payload) == "ZIP":
        try:
            with zipfile.ZipFile(io.BytesIO(request.payload)) as archive:
                images = [(name.filename, archive.read(name)) for name in archive.infolist()]
        except zipfile.BadZipFile:
            failure = "failed", ErrorCode.DAMAGED_ARCHIVE
        if not images:
            images, failure = [(None, b"")], ("failed", ErrorCode.EMPTY_ARCHIVE)
    return [
        _answer(request, offset, (index, len(images), name), failure or reads(data))
        for index, (name, data) in enumerate(images)
    ]


def _answer(request: NewRequest, offset: int, item: tuple[int, int, str | None], outcome: tuple[str, Any]) -> Answer:
    index, count, name = item
    status, detail = outcome
    value = EXAMPLES[status] | {
        "request_id": request.request_id,
        "result_id": f"digits.requests/0/{offset}/{index}",
        "item": {"index": index, "count": count, "name": name},
    }
    if status == "failed":
        value["error"] = {"code": detail.value, "message": detail.sentence}
    else:
        value["digit"] = detail
        if request.seen and count == 1:
            value["seen"] = SEEN
    return Answer(
        request.request_id,
        index,
        count,
        Position(0, offset),
        Position(0, 100 * offset + index),
        1767225600020,
        msgspec.json.encode(value),
    )
