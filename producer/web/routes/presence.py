"""Ends what is done for a client that has left: the answer would get lost, and others may need the place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

CLIENT_LEFT: Final = 499
"""The status in the metrics; no client receives it. HTTP's registry lacks it, but proxies write it to their logs."""
WATCH_AFTER_S: Final = 0.5
"""Most answers come earlier, and a task for each would cost a tenth of the request."""


@contextlib.asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the body of the context when the client closes its connection.

    Parameters
    ----------
    request
        Its body has been read to the end, and nothing else receives from it meanwhile.

    Raises
    ------
    ClientDisconnect
        The client has left.
    """
    limit = asyncio.timeout(None)
    watching: set[asyncio.Task[None]] = set()

    def watch() -> None:
        watching.add(asyncio.create_task(_expire_without_client(request.receive, limit), name="client is connected"))

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, watch)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()
        if watching:
            await asyncio.wait(watching)


async def _expire_without_client(receive: Receive, limit: asyncio.Timeout) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    limit.reschedule(asyncio.get_running_loop().time())


async def answer_after_leaving(_request: Request, _error: Exception) -> Response:
    """Answer a client that has left."""
    return Response(status_code=CLIENT_LEFT)
