"""The consumers of the service: the one in the group, and those outside of it that read a range of offsets."""

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
from transport.record_batch import install_batch_parser
from transport.settings.kafka import GroupSettings
from transport.shutdown import LEAVE_TIMEOUT_S, abort_connections, stop_within

START_TIMEOUT_S: Final = 15.0
RANGE_FETCH_BYTES: Final = 1024 * 1024
STOP_TIMEOUT_S: Final = 1.0


@contextlib.asynccontextmanager
async def open_group_consumer(
    settings: GroupSettings, starting: Callable[[Awaitable[None]], Awaitable[None]] = asyncio.ensure_future
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start the consumer that joins the group; at the end it leaves the group.

    Parameters
    ----------
    settings
        The brokers, topics and group.
    starting
        Awaits the start, and may cancel it.

    Raises
    ------
    FatalError
        The consumer does not start.
    """
    install_batch_parser()
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        group_id=settings.kafka.group_id,
        group_instance_id=settings.kafka.group_instance_id or None,
        enable_auto_commit=False,  # offsets are committed with the results, in the lanes' transactions
        auto_offset_reset="none",  # where to start is decided by the lane, see consumer.partitions.opening
        isolation_level="read_committed",  # what an upstream transaction aborted is not answered
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        session_timeout_ms=settings.kafka.session_timeout_ms,
        heartbeat_interval_ms=settings.kafka.session_timeout_ms // 5,
        rebalance_timeout_ms=settings.kafka.session_timeout_ms,
        # Shorter than the session: a heartbeat to a broker that hangs ends while another coordinator still has us as
        # a member. A join may take longer, while the group waits for a member; then it is sent again.
        request_timeout_ms=settings.kafka.request_timeout_ms,
        metadata_max_age_ms=MAX_AGE_MS,
    )
    patch_client(client_of(consumer), settings.kafka.request_timeout_ms, settings.topics.names)
    try:
        try:
            await starting(consumer.start())
        except KafkaError as error:
            raise FatalError(f"the consumer does not start: {describe(error)}") from error
        yield consumer
    finally:
        if not await stop_within(consumer.stop, LEAVE_TIMEOUT_S):  # the session then times out
            await abort_connections(client_of(consumer), LEAVE_TIMEOUT_S)


@contextlib.asynccontextmanager
async def open_range_consumer(
    settings: GroupSettings, servers: Sequence[str], isolation_level: str
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer that is in no group, and stop it; `servers` are brokers that are known to be alive."""
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
        finally:  # also when this task is cancelled while it waits
            if not in_order:
                await abort_connections(client_of(client), STOP_TIMEOUT_S)
