"""Stops Kafka clients in bounded time, even if a broker or the client's own `stop` hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from transport.internals import abort_connection, connections

STOP_TIMEOUT_S: Final = 2.0
"""The time limit for each step of a producer's stop. The producers of all lanes stop at the same time."""
LEAVE_TIMEOUT_S: Final = 5.0
"""The time limit for the consumer to leave the group, and again for its connections to close."""
CANCEL_TIMEOUT_S: Final = 1.0
"""The time limit for a `stop` that was cancelled to end."""


async def stop_within(stop: Callable[[], Awaitable[None]], within_s: float) -> bool:
    """Run a client's `stop`, and return whether it has ended without an error.

    It may hang if a broker does not answer. It runs in a separate task, because aiokafka's consumer cancels a fetch
    that waits for its retry and does not catch the cancellation, so that the caller of `stop` seems to be cancelled.
    Forced by test_closing_a_consumer_with_a_waiting_fetch_does_not_cancel_its_owner.
    """
    stopping = asyncio.ensure_future(stop())
    try:
        await asyncio.wait({stopping}, timeout=within_s)
    finally:
        stopping.cancel()  # without effect if it has ended
    await asyncio.wait({stopping}, timeout=CANCEL_TIMEOUT_S)
    if not stopping.done() or stopping.cancelled():
        return False
    error = stopping.exception()
    if error is not None and not isinstance(error, KafkaError | TimeoutError):
        raise error
    return error is None


async def abort_connections(client: AIOKafkaClient, within_s: float) -> None:
    """Close all connections of a client whose `stop` did not end; data that was not sent yet is lost.

    The client by itself waits until all data is sent, which a broker that hangs can delay without a limit.
    Forced by test_a_connection_whose_peer_reads_nothing_is_aborted.
    """
    for _, connection in connections(client):
        abort_connection(connection)
    await stop_within(client.close, within_s)
