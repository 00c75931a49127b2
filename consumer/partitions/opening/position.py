"""Finds where a lane starts to read: at the committed offset, if the log contains it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.state import OffsetLost
from consumer.settings import OnLostOffset
from transport.denials import denial
from transport.errors import FatalError, KafkaError, OwnershipLost, describe
from transport.group.lookups import Lookups
from transport.group.offsets import UNSTABLE_PAUSE_S, committed_offset
from transport.reading.log_ends import log_end

log = structlog.get_logger()

DEADLINE_S: Final = 30.0
MAX_REREADS: Final = 15
REREAD_PAUSE_S: Final = 1.0
"""For a moment after a leader change, the new leader may report an old end of the log. Then it is read again."""
REPAIR_POLL_S: Final = 5.0
"""Time between two reads of the committed offset of a parked partition."""
LOOK_INTERVAL_S: Final = 1.0
REPAIR_TIMEOUT_S: Final = 15.0


async def start_offset(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    on_lost: OnLostOffset,
    end_left: Callable[[], None] = lambda: None,
    *,
    lookups: Lookups | None = None,
) -> int | None:
    """Return the offset at which the new owner of a partition starts to read; None if the group has committed none.

    The offset is stable: no transaction that has begun can change it any more.

    Parameters
    ----------
    consumer, partition
        The group member, and the partition.
    on_lost
        What to do if the offset is not in the log.
    end_left
        Is called when another instance may have left a transaction open.
    lookups
        By which offsets are looked up; None: by requests for this partition alone.

    Raises
    ------
    OffsetLost
        The committed offset is not in the log: retention has deleted records, or the topic was created again.
    FatalError
        The service has no right to read the committed offset.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    rereads_left = MAX_REREADS
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                committed, begin, end = await _read_offsets(consumer, partition, end_left, lookups or Lookups(consumer))
                if committed is None:
                    return None
                if begin <= committed <= end:
                    log.info("starting", partition=name, offset=committed, end=end)
                    return committed
                if committed < begin or not rereads_left:
                    break  # reading again does not help: deleted records do not come back
                rereads_left -= 1
                await asyncio.sleep(REREAD_PAUSE_S)
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            raise FatalError(f"cannot find where to start in {name}: {denied}") from error
        raise OwnershipLost(f"could not find where to start in {name}: {describe(error)}") from error
    where = (
        f"starts at {begin}: retention has deleted records that were not committed"
        if committed < begin
        else f"ends at {end}"
    )
    if on_lost is OnLostOffset.EARLIEST:
        log.warning(
            "committed offset lost", partition=name, committed=committed, action=f"continuing at {begin}", log=where
        )
        return begin
    raise OffsetLost(
        f"the committed offset {committed} of {name} is not in the log, which {where}; stop all instances and set the "
        "group's offset, or set DIGITS_KAFKA__ON_LOST_OFFSET=earliest to continue at the start of the log",
        committed,
    )


async def wait_for_repair(consumer: AIOKafkaConsumer, partition: TopicPartition, lost: int | None) -> None:
    """Wait until the group's committed offset differs from the lost one, or was deleted.

    Raises
    ------
    FatalError
        The service has no right to read the committed offset.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    try:
        while True:
            async with asyncio.timeout(REPAIR_TIMEOUT_S):
                found = await committed_offset(consumer, partition)
                if found.is_stable and found.offset != lost:
                    return
            await asyncio.sleep(REPAIR_POLL_S)
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            raise FatalError(f"cannot read the committed offset of {name}: {denied}") from error
        raise OwnershipLost(f"could not read the committed offset of {name}: {describe(error)}") from error


async def _read_offsets(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end_left: Callable[[], None], lookups: Lookups
) -> tuple[int | None, int, int]:
    """Return the committed offset, and the first and the end offset of the log."""
    committed = await _stable_offset(lookups, partition, end_left)
    found = await lookups.log_range(partition)
    begin, end = found.start, found.stop
    if committed is not None and committed > end:
        # `end` is the end of the committed records. The offset may still be in the log, after records of an open
        # transaction: an operator who resets the group to the end of the log puts it there.
        end = max(end, await log_end(consumer, partition) or end)
    return committed, begin, end


async def _stable_offset(lookups: Lookups, partition: TopicPartition, end_left: Callable[[], None]) -> int | None:
    """Return the committed offset, once no open transaction can change it."""
    end_left()  # also if the offset is stable: readers of results wait for a transaction that has no offset yet
    looked_s = time.monotonic()
    while not (found := await lookups.committed(partition)).is_stable:
        await asyncio.sleep(UNSTABLE_PAUSE_S)
        if time.monotonic() - looked_s > LOOK_INTERVAL_S:
            end_left()
            looked_s = time.monotonic()
    return found.offset
