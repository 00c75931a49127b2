"""Repeats what fails for a moment.

It is not `tenacity`, which does the same: with a fixed pause, a time limit and a report of the first failure, a call
of `tenacity` takes five strategy objects, which is no shorter than a call of this function, and it would be one more
package in the image.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

Result = TypeVar("Result")


async def retry(
    attempt: Callable[[], Awaitable[Result]],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    pause_s: float,
    attempts: float = math.inf,
    timeout_s: float = math.inf,
    on_first_failure: Callable[[Exception], None] = lambda _: None,
) -> Result:
    """Call a function until it succeeds, and return its result.

    Parameters
    ----------
    attempt
        The function; it limits its own duration.
    on
        The exceptions after which it is called again. Any other exception is raised at once.
    pause_s
        The time from a failure to the next attempt.
    attempts
        The number of attempts after which the last exception is raised.
    timeout_s
        The time from the call on, after which no attempt begins: then the last exception is raised.
    on_first_failure
        Is given the first exception, if another attempt follows.
    """
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + timeout_s
    made = 0
    while True:
        try:
            return await attempt()
        except on as error:
            made += 1
            if made >= attempts or clock() + pause_s > deadline_s:
                raise
            if made == 1:
                on_first_failure(error)
        await asyncio.sleep(pause_s)


def repeating(pauses_s: Sequence[float]) -> Iterator[float]:
    """Yield the pauses before one attempt after the other; the last pause repeats."""
    return itertools.chain(pauses_s, itertools.repeat(pauses_s[-1]))
