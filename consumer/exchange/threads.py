"""Runs what blocks in a thread that the end of the process does not wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


async def in_thread(block: Callable[[], _T]) -> _T:
    """Run what blocks in a thread that nothing waits for at the end of the process: a store may hang."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(how: Callable[[Any], None], with_what: object) -> None:
        if not future.done():
            how(with_what)

    def run() -> None:
        try:
            settled = partial(settle, future.set_result, block())
        except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
            settled = partial(settle, future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
            loop.call_soon_threadsafe(settled)

    threading.Thread(target=run, name="model", daemon=True).start()
    return await future
