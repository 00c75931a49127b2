"""Where the logs of our partitions end, asked for every few seconds.

A fetch brings these figures along. Where none comes back, since the client is in trouble or a lane is parked, lag and
what could be read would stand still: a partition that is stuck would look like one to which nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
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
"""The end of what every copy has: there the next record will lie, or an open transaction goes on."""
READ_COMMITTED: Final = 1
"""The end of what may be read."""
LATEST: Final = -1
"""What stands for the end of the log, where a time could."""
NO_REPLICA: Final = -1
"""We are a client."""
NO_LEADER: Final = -1
"""What the cluster's answer has in the place of a broker."""


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
    """Keep what the client knows of the ends of its partitions current; `highwater` and `last_stable_offset` have it.

    Two questions to each broker that leads any of them, whatever their number. A partition without a leader, or a
    broker without an answer, keeps its figures.
    """
    while True:
        await asyncio.sleep(REFRESH_INTERVAL_S)
        by_leader: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for partition in consumer.assignment():
            leader = _leader_of(consumer, partition)
            if leader is not None:
                by_leader[leader].append(partition)
        if by_leader:
            # Taken with its partitions: the next one, which may come before a question is asked, may lack some of them.
            assignment = assignment_of(consumer)
            await asyncio.gather(*(_refresh(consumer, assignment, *each) for each in by_leader.items()))


async def log_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return where a log ends, transactions that are open included; None if no leader says so now.

    `end_offsets` of a consumer that reads what is committed gives the end of what may be read.

    Raises
    ------
    KafkaError
        The leader does not answer.
    """
    leader = _leader_of(consumer, partition)
    return None if leader is None else (await _ends(consumer, leader, [partition], READ_UNCOMMITTED)).get(partition)


def _leader_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    leader: int | None = cluster_metadata_of(consumer).leader_for_partition(partition)
    return None if leader == NO_LEADER else leader


async def _refresh(consumer: AIOKafkaConsumer, assignment: Any, leader: int, partitions: list[TopicPartition]) -> None:
    before_ms = {partition: assignment.state_value(partition).timestamp for partition in partitions}
    try:
        async with asyncio.timeout(REFRESH_TIMEOUT_S):
            # Stable first: it is never beyond an end that was asked for later.
            stable = await _ends(consumer, leader, partitions, READ_COMMITTED)
            ends = await _ends(consumer, leader, partitions, READ_UNCOMMITTED)
    except (KafkaError, TimeoutError) as error:
        log.debug("ends not read", broker=leader, why=repr(error), action="asked again")
        return
    if not assignment.active:
        return
    for partition in stable.keys() & ends.keys():
        state = assignment.state_value(partition)
        if state.timestamp == before_ms[partition]:  # else a fetch that is newer has brought them
            state.lso, state.highwater = stable[partition], ends[partition]


async def _ends(
    consumer: AIOKafkaConsumer, leader: int, partitions: Iterable[TopicPartition], isolation: int
) -> dict[TopicPartition, int]:
    """Ask a broker for the ends of partitions; those that it does not know or lead are left out."""
    wanted: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for partition in partitions:
        wanted[partition.topic].append((partition.partition, LATEST))
    request = OffsetRequest(NO_REPLICA, isolation, list(wanted.items()))
    # end_offsets() asks for one of the two ends, and fails for all partitions if it fails for one.
    answer: Any = await client_of(consumer).send(leader, request)
    return {
        TopicPartition(topic, number): offset
        for topic, found in answer.topics
        for number, code, _, offset in found
        if code == NoError.errno
    }
