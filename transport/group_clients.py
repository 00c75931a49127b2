"""The consumers of the service: the one in the group, and those beside it that read single spans of a log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from transport.errors import FatalError, KafkaError, describe
from transport.internals import client_of
from transport.metadata import MAX_AGE_MS, patch_client
from transport.reading.record_batch import install_batch_parser
from transport.settings.kafka import GroupSettings
from transport.shutdown import LEAVE_TIMEOUT_S, abort_connections, stop_within

FETCH_MAX_WAIT_MS: Final = 100
"""A partition that becomes free while a fetch is under way waits for its end: with the default of 500 ms that is
most of the latency."""
PARTITION_FETCH_BYTES: Final = 1024 * 1024
"""Per fetch; a larger record still comes, alone."""
FETCH_BYTES: Final = 16 * 1024 * 1024
START_TIMEOUT_S: Final = 15.0
RANGE_FETCH_BYTES: Final = 1024 * 1024
STOP_TIMEOUT_S: Final = 1.0


@contextlib.asynccontextmanager
async def open_group_consumer(
    settings: GroupSettings, starting: Callable[[Awaitable[None]], Awaitable[None]] = asyncio.ensure_future
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start the consumer that joins the group, and let it leave.

    Parameters
    ----------
    settings
        Which brokers, topics and group.
    starting
        Awaits the start, and may give it up.

    Raises
    ------
    FatalError
        It does not start.
    """
    install_batch_parser()
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        group_id=settings.kafka.group_id,
        enable_auto_commit=False,  # offsets are committed with the results, in the lanes' transactions
        auto_offset_reset="none",  # where to start is decided by the lane, see consumer.partitions.opening
        isolation_level="read_committed",  # what an upstream transaction aborted is not answered
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        session_timeout_ms=settings.kafka.session_timeout_ms,
        heartbeat_interval_ms=settings.kafka.session_timeout_ms // 5,
        rebalance_timeout_ms=settings.kafka.session_timeout_ms,
        # Below the session: a heartbeat to a broker that hangs is given up while another coordinator still knows us.
        # To join may take longer, while the group waits for a member; then it is asked again, and nothing is lost.
        request_timeout_ms=settings.kafka.request_timeout_ms,
        metadata_max_age_ms=MAX_AGE_MS,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )
    patch_client(client_of(consumer), settings.kafka.request_timeout_ms, settings.topics.names)
    try:
        try:
            await starting(consumer.start())
        except KafkaError as error:
            raise FatalError(f"the consumer does not start: {describe(error)}") from error
        yield consumer
    finally:
        if not await stop_within(consumer.stop, LEAVE_TIMEOUT_S):  # our session times out by itself
            await abort_connections(client_of(consumer), LEAVE_TIMEOUT_S)


@contextlib.asynccontextmanager
async def open_range_consumer(
    settings: GroupSettings, servers: Sequence[str], isolation_level: str
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer outside any group, and stop it; `servers` are brokers known to be alive."""
    options = settings.kafka.client_options()
    client = AIOKafkaConsumer(
        **options | {"bootstrap_servers": list(servers) or options["bootstrap_servers"]},
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation_level,
        request_timeout_ms=settings.kafka.request_timeout_ms,
        metadata_max_age_ms=MAX_AGE_MS,
        max_partition_fetch_bytes=RANGE_FETCH_BYTES,
    )
    patch_client(client_of(client), settings.kafka.request_timeout_ms, settings.topics.names)
    in_order = False
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await client.start()
        yield client
    finally:
        try:
            in_order = await stop_within(client.stop, STOP_TIMEOUT_S)
        finally:  # also where nobody has the time to wait for it
            if not in_order:
                await abort_connections(client_of(client), STOP_TIMEOUT_S)
