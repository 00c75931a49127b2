"""Waits until a condition is true. Other code in tests sleeps only where the pause is the input of a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

Value = TypeVar("Value")

DEADLINE_S: Final = 60.0
_PAUSE_S: Final = 0.02


@overload
async def eventually(
    look: Callable[[], Awaitable[Value]], satisfied: Callable[[Value], object] = ..., *, deadline_s: float = ...
) -> Value: ...


@overload
async def eventually(
    look: Callable[[], Value], satisfied: Callable[[Value], object] = ..., *, deadline_s: float = ...
) -> Value: ...


async def eventually(
    look: Callable[[], Value | Awaitable[Value]],
    satisfied: Callable[[Value], object] = bool,
    *,
    deadline_s: float = DEADLINE_S,
) -> Value:
    """Look again and again until what is seen satisfies.

    Parameters
    ----------
    look
        Returns what there is now, or an awaitable of it. An `AssertionError` or a refused connection
        counts as "not yet".
    satisfied
        Says whether that will do; by default anything true.
    deadline_s
        Seconds until it must.

    Returns
    -------
    Value
        What satisfied.

    Raises
    ------
    AssertionError
        At the deadline, with the last thing seen.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        seen: object
        try:
            found = look()
            seen = value = await found if isinstance(found, Awaitable) else found
            if satisfied(value):
                return value
        except (AssertionError, ConnectionError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s; last seen: {seen!r}")
        await asyncio.sleep(_PAUSE_S)
