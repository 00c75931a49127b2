"""The tasks of the gateway: all end when it is closed, and if one fails, the others and the body end with its error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

Start = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a task with a name; it ends with the gateway at the latest."""


@contextlib.asynccontextmanager
async def running_tasks() -> AsyncIterator[Start]:
    """Yield a function that starts tasks. At the end of the body they are cancelled.

    An error of the body is raised as it is; that of a task is in an exception group.
    """
    failed: BaseException | None = None
    tasks: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:

        def start(work: Coroutine[Any, Any, None], name: str) -> None:
            task = group.create_task(work, name=f"gateway {name}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            yield start
        except BaseException as error:  # noqa: BLE001  # raised below, where it does not become a group of one
            failed = error
        finally:
            for task in tasks:
                task.cancel()
    if failed is not None:
        raise failed
