"""Questions to the cluster that any broker can answer, asked again where the one that was asked is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import KafkaError

Answer = TypeVar("Answer")

ATTEMPTS: Final = 5
"""Each goes to a broker that the client takes by chance."""
ATTEMPT_S: Final = 10.0
PAUSE_S: Final = 0.5


async def ask(question: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the first answer.

    Forced by test_it_starts_although_one_of_the_brokers_is_down.

    Raises
    ------
    KafkaError, TimeoutError
        Of the last attempt.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await _once(question)
        except (KafkaError, TimeoutError):
            await asyncio.sleep(PAUSE_S)
    return await _once(question)


async def _once(question: Callable[[], Awaitable[Answer]]) -> Answer:
    async with asyncio.timeout(ATTEMPT_S):
        return await question()
