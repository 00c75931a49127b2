"""Receives the body of a request, in pieces, within the limits of size, time and memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect, Request

from producer.web.problems import ProblemError, Refusal
from producer.web.settings import ListenSettings, UploadSettings


class BodyBudget:
    """The bytes of all bodies that have arrived and are not yet sent. Owner: the server; each request has a share.

    A request is charged for what has arrived and not for what it announces, so a client that announces much and sends
    nothing takes nothing from others.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.used_bytes = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Give a request its share, and take it back at the end of the context."""
        share = Share(self)
        try:
            yield share
        finally:
            share.release()


class Share:
    """What one request has of the budget. Owner: the request's task."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def add(self, size_bytes: int) -> None:
        """Charge what has arrived.

        Raises
        ------
        ProblemError
            All bodies together are too large at this moment.
        """
        if self._budget.used_bytes + size_bytes > self._budget.most_bytes:
            raise ProblemError(
                Refusal.BUSY,
                "The server is receiving too many large bodies. Repeat the request after a while.",
                retry_after_s=1,
            )
        self._budget.used_bytes += size_bytes
        self._bytes += size_bytes

    def release(self) -> None:
        """Give everything back; a second time has no effect."""
        self._budget.used_bytes -= self._bytes
        self._bytes = 0


def announced_bytes(request: Request, limits: UploadSettings) -> int:
    """Return the size that the request announces; 0 if it announces none.

    Raises
    ------
    ProblemError
        The size is above the limit. Nothing of the body has been read.
    """
    text = request.headers.get("content-length", "")
    size_bytes = int(text) if text.isascii() and text.isdigit() else 0
    if size_bytes > limits.body_bytes:
        raise _too_large(limits)
    return size_bytes


@contextlib.asynccontextmanager
async def in_time(limits: ListenSettings) -> AsyncIterator[None]:
    """Limit the time in which a body must arrive.

    Raises
    ------
    ProblemError
        The body has not arrived in time, or the client has closed the connection before its end.
    """
    try:
        async with asyncio.timeout(limits.body_s):
            yield
    except TimeoutError:
        raise ProblemError(
            Refusal.TOO_SLOW,
            f"The body did not arrive within {limits.body_s:g} s.",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise ProblemError(Refusal.MALFORMED_REQUEST, "The connection was closed before the end of the body.") from None


async def pieces(request: Request, limits: UploadSettings, share: Share) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, without the empty piece at its end.

    Raises
    ------
    ProblemError
        The body is above the limit, or all bodies together are.
    """
    received_bytes = 0
    async for piece in request.stream():
        received_bytes += len(piece)
        if received_bytes > limits.body_bytes:
            raise _too_large(limits)
        share.add(len(piece))
        if piece:
            yield piece


def _too_large(limits: UploadSettings) -> ProblemError:
    return ProblemError(Refusal.BODY_TOO_LARGE, f"A body may have {limits.body_bytes:,} bytes at most.")
