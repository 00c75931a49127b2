"""Where a lane starts to read: the committed offset, if the log has it."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.state import OffsetLost
from consumer.settings import OnLostOffset
from transport.denials import denial
from transport.errors import FatalError, KafkaError, OwnershipLost, describe
from transport.group.membership import committed_offset
from transport.reading.log_ends import log_end

log = structlog.get_logger()

DEADLINE_S: Final = 30.0
SECOND_LOOKS: Final = 15
SECOND_LOOK_PAUSE_S: Final = 1.0
"""After a leader has moved, the new one may for a moment not know how far the log is committed."""
PARKED_LOOK_S: Final = 5.0
"""How soon a parked partition goes on after its offset has been repaired."""
LOOK_TIMEOUT_S: Final = 15.0


async def start_offset(consumer: AIOKafkaConsumer, partition: TopicPartition, on_lost: OnLostOffset) -> int | None:
    """Return the offset from which a partition's new owner reads, None if the group has committed none.

    Call it after the fencing start of the partition's producer: from then on the committed offset stands.

    Raises
    ------
    OffsetLost
        The committed offset is not in the log: records are lost to retention, or the topic is another one.
    FatalError
        It may not be asked for.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    second_looks = SECOND_LOOKS
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                committed, begin, end = await _look(consumer, partition)
                if committed is None:
                    return None
                if begin <= committed <= end:
                    log.info("starting", partition=name, offset=committed, end=end)
                    return committed
                if committed < begin or not second_looks:
                    break  # what was deleted does not come back
                second_looks -= 1
                await asyncio.sleep(SECOND_LOOK_PAUSE_S)
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            raise FatalError(f"cannot find where to start in {name}: {denied}") from error
        raise OwnershipLost(f"could not find where to start in {name}: {describe(error)}") from error
    where = (
        f"starts at {begin}: retention has deleted what was not committed" if committed < begin else f"ends at {end}"
    )
    if on_lost is OnLostOffset.EARLIEST:
        log.warning(
            "committed offset lost", partition=name, committed=committed, action=f"going on at {begin}", log=where
        )
        return begin
    raise OffsetLost(
        f"the committed offset {committed} of {name} is not in the log, which {where}; stop all instances and set the "
        "group's offset, or set DIGITS_KAFKA__ON_LOST_OFFSET=earliest to go on at the start of the log",
        committed,
    )


async def repaired(consumer: AIOKafkaConsumer, partition: TopicPartition, lost: int | None) -> None:
    """Wait until the group has another offset than the one that was lost, or none any more.

    Raises
    ------
    FatalError
        It may not be asked for.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    try:
        while True:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                if await committed_offset(consumer, partition) != lost:
                    return
            await asyncio.sleep(PARKED_LOOK_S)
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            raise FatalError(f"cannot look at the committed offset of {name}: {denied}") from error
        raise OwnershipLost(f"could not look at the committed offset of {name}: {describe(error)}") from error


async def _look(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int | None, int, int]:
    committed = await committed_offset(consumer, partition)
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    if committed is not None and committed > end:
        # That was the end of what may be read. An offset among records of an open transaction, where an operator's
        # reset to the end of the log puts it, is in the log, too.
        end = max(end, await log_end(consumer, partition) or end)
    return committed, begin, end
