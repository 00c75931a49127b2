"""How the service is asked to end: by SIGTERM or SIGINT, also while it still starts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog

log = structlog.get_logger()

FORCED_EXIT: Final = 130

_T = TypeVar("_T")


class Stopped(Exception):  # noqa: N818  # not an error
    """The service was asked to end before it had begun."""


async def unless(stopping: asyncio.Event, starting: Awaitable[_T]) -> _T:
    """Await a step of the start, or give up when asked to stop.

    Raises
    ------
    Stopped
        SIGTERM or SIGINT came first.
    """
    step = asyncio.ensure_future(starting)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            raise Stopped
        return step.result()
    finally:
        stop.cancel()
        if not step.done():
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)


def stop_signal() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stopping = asyncio.Event()

    def stop(name: str) -> None:
        if stopping.is_set():
            log.warning("second signal", signal=name, action="exiting at once")
            os._exit(FORCED_EXIT)  # workers and brokers notice by themselves
        log.info("stopping", signal=name)
        stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop, each.name)
    return stopping
