"""Refreshes the log ends of our partitions every few seconds.

A fetch response contains the log end. While no fetch is answered, because the client fails or a lane is parked, the lag
would not change without this refresh: a blocked partition would seem to receive no records.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoError
from aiokafka.protocol.offset import OffsetRequest

from transport.internals import assignment_of, client_of, cluster_metadata_of

log = structlog.get_logger()

REFRESH_INTERVAL_S: Final = 10.0
REFRESH_TIMEOUT_S: Final = 5.0
READ_UNCOMMITTED: Final = 0
"""Isolation level whose end includes the records of open transactions (the high watermark)."""
READ_COMMITTED: Final = 1
"""Isolation level whose end is the last stable offset: only records before it can be read."""
LATEST: Final = -1
"""In the place of a timestamp, this requests the end of the log."""
EARLIEST: Final = -2
"""In the place of a timestamp, this requests the first offset of the log."""
NO_REPLICA: Final = -1
"""The replica id of a client."""
NO_LEADER: Final = -1
"""In the place of a broker id, this means that the partition has no leader."""


class LogEnds(NamedTuple):
    """Where the log of a partition ends."""

    end: int | None
    """The end of the log; None if it is not known yet."""
    stable: int | None
    """The end of what may be read: the first open transaction, or the end of the log; None if it is not known yet."""


def known_ends(consumer: AIOKafkaConsumer, partition: TopicPartition) -> LogEnds | None:
    """Return where a log ends, as of the last fetch or refresh; None if the partition is not assigned."""
    if partition not in consumer.assignment():
        return None
    return LogEnds(consumer.highwater(partition), consumer.last_stable_offset(partition))


async def refresh_log_ends(consumer: AIOKafkaConsumer) -> None:
    """Refresh the log ends that the client returns by `highwater` and `last_stable_offset`.

    Each broker that leads some of the partitions is sent two requests. If a partition has no leader or its broker does
    not answer, its ends do not change.
    """
    while True:
        await asyncio.sleep(REFRESH_INTERVAL_S)
        by_leader: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for partition in consumer.assignment():
            leader = leader_of(consumer, partition)
            if leader is not None:
                by_leader[leader].append(partition)
        if by_leader:
            # The assignment may change before a request is sent, so keep the one that has these partitions.
            assignment = assignment_of(consumer)
            await asyncio.gather(*(_refresh(consumer, assignment, *each) for each in by_leader.items()))


async def log_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the end of a log, including open transactions; None if its leader is unknown.

    The client's `end_offsets` returns the last stable offset if its isolation level is ``read_committed``.

    Raises
    ------
    KafkaError
        The leader does not answer.
    """
    leader = leader_of(consumer, partition)
    return None if leader is None else (await _ends(consumer, leader, [partition], READ_UNCOMMITTED)).get(partition)


async def log_ranges(
    consumer: AIOKafkaConsumer, leader: int, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, range]:
    """Return the first offset of logs, and their ends as far as they may be read.

    Partitions that the broker does not lead, or may not report, are left out.

    Raises
    ------
    KafkaError
        The broker does not answer.
    """
    begins = await _ends(consumer, leader, partitions, READ_COMMITTED, EARLIEST)
    ends = await _ends(consumer, leader, partitions, READ_COMMITTED)
    return {partition: range(begins[partition], ends[partition]) for partition in begins.keys() & ends.keys()}


def leader_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the broker that leads a partition; None if there is none."""
    leader: int | None = cluster_metadata_of(consumer).leader_for_partition(partition)
    return None if leader == NO_LEADER else leader


async def _refresh(consumer: AIOKafkaConsumer, assignment: Any, leader: int, partitions: list[TopicPartition]) -> None:
    before_ms = {partition: assignment.state_value(partition).timestamp for partition in partitions}
    try:
        async with asyncio.timeout(REFRESH_TIMEOUT_S):
            # The stable offset first, so that it is never larger than the end, which is read later.
            stable = await _ends(consumer, leader, partitions, READ_COMMITTED)
            ends = await _ends(consumer, leader, partitions, READ_UNCOMMITTED)
    except (KafkaError, TimeoutError) as error:
        log.debug("ends not read", broker=leader, why=repr(error), action="retrying")
        return
    if not assignment.active:
        return
    for partition in stable.keys() & ends.keys():
        state = assignment.state_value(partition)
        if state.timestamp == before_ms[partition]:  # otherwise a newer fetch response has updated them
            state.lso, state.highwater = stable[partition], ends[partition]


async def _ends(
    consumer: AIOKafkaConsumer, leader: int, partitions: Iterable[TopicPartition], isolation: int, which: int = LATEST
) -> dict[TopicPartition, int]:
    """Request the ends of logs from a broker, or their first offsets; partitions that it does not lead are left out."""
    wanted: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for partition in partitions:
        wanted[partition.topic].append((partition.partition, which))
    request = OffsetRequest(NO_REPLICA, isolation, list(wanted.items()))
    # The client's end_offsets() requests one of the two ends, and fails for all partitions if it fails for one.
    answer: Any = await client_of(consumer).send(leader, request)
    return {
        TopicPartition(topic, number): offset
        for topic, found in answer.topics
        for number, code, _, offset in found
        if code == NoError.errno
    }
