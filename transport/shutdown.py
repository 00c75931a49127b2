"""Ends Kafka clients in bounded time, whatever brokers do, and whatever the clients' own `stop` does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from transport.internals import abort_connection, connections

STOP_TIMEOUT_S: Final = 2.0
"""For each step of a producer's stop. The producers of all lanes stop at the same time."""
LEAVE_TIMEOUT_S: Final = 5.0
"""For the consumer to leave the group, and again for its connections to close."""
CANCEL_TIMEOUT_S: Final = 1.0
"""For what did not stop in time to see that nobody waits any more."""


async def stop_within(stop: Callable[[], Awaitable[None]], within_s: float) -> bool:
    """Run a client's `stop`, and return whether it has come to its end.

    It may hang on a broker that is away; and aiokafka's consumer, if a fetch is just waiting to be repeated, cancels
    that and lets the cancellation out, so that its caller seems to be cancelled. Hence a task of its own.
    Forced by test_closing_a_consumer_with_a_waiting_fetch_does_not_cancel_its_owner.
    """
    stopping = asyncio.ensure_future(stop())
    try:
        await asyncio.wait({stopping}, timeout=within_s)
    finally:
        stopping.cancel()  # nothing, if it has ended
    await asyncio.wait({stopping}, timeout=CANCEL_TIMEOUT_S)
    if not stopping.done() or stopping.cancelled():
        return False
    error = stopping.exception()
    if error is not None and not isinstance(error, KafkaError | TimeoutError):
        raise error
    return error is None


async def abort_connections(client: AIOKafkaClient, within_s: float) -> None:
    """Close all connections of a client whose `stop` did not come to its end; what was on its way is dropped.

    The client itself waits until all has gone out, to a broker that hangs for as long as that hangs.
    Forced by test_a_connection_whose_peer_reads_nothing_is_aborted.
    """
    for _, connection in connections(client):
        abort_connection(connection)
    await stop_within(client.close, within_s)
