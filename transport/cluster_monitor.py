"""What looks after the client for as long as the service lives.

brokers   whether the cluster is there, and our topics in it
group     the group's errors
ends      where the logs of our partitions end, also where no fetch comes back

Nothing here ends the service unless the client itself has given up; the client and the lanes keep trying.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
)

from contract.topics import TopicSettings
from transport.admin.authorization import denial
from transport.errors import FatalError, describe
from transport.internals import (
    client_of,
    cluster_metadata_of,
    coordination_has_ended,
    coordinator_of,
    fetch_task_of,
    heartbeats_have_ended,
)
from transport.reading.log_ends import NO_LEADER, refresh_log_ends

log = structlog.get_logger()

MONITOR_INTERVAL_S: Final = 2.0
MONITOR_TIMEOUT_S: Final = 5.0
"""Long enough to pass over three brokers that hang, and to wait for a fourth."""
POLL_MS: Final = 1_000
UNASSIGNED: Final = TopicPartition("", 0)
"""A partition that no one is ever assigned."""
FATAL_GROUP_ERRORS: Final = (InconsistentGroupProtocolError, InvalidGroupIdError, InvalidSessionTimeoutError)
"""With these a group refuses whoever would join; it would again."""
FAILURES_BEFORE_BOOTSTRAP: Final = 5
"""Looks in vain at the brokers that are known before those of the settings are asked again."""


@contextlib.asynccontextmanager
async def monitored_cluster(
    consumer: AIOKafkaConsumer, topics: TopicSettings, report: Callable[[str], None], group: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Watch for the length of the context; `report` is as for `monitor_cluster`."""
    watches = [
        group.create_task(monitor_cluster(consumer, topics, report), name="broker watch"),
        group.create_task(poll_group(consumer), name="group watch"),
        group.create_task(refresh_log_ends(consumer), name="ends watch"),
    ]
    try:
        yield
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)  # before the consumer stops: what polls a stopped one fails


async def poll_group(consumer: AIOKafkaConsumer) -> None:
    """Poll without taking anything.

    A member that never polls is put out of the group, also one without partitions; and errors of the group
    reach whoever polls. (With an empty list `getmany` would take from every partition.)

    Raises
    ------
    FatalError
        The group does not take us, it or the topic may not be read, or one of the client's own tasks has ended.
    """
    while True:
        try:
            await consumer.getmany(UNASSIGNED, timeout_ms=POLL_MS)
        except KafkaError as error:
            if denied := denial(error, topic_right="Read"):
                raise FatalError(denied) from error
            if isinstance(error, FATAL_GROUP_ERRORS):
                raise FatalError(f"the group does not take us: {describe(error)}") from error
            if coordination_has_ended(consumer):
                raise FatalError(f"the group is lost: {describe(error)}") from error
            log.warning("group error", why=describe(error), action="the client tries again")
            # The client goes on without heartbeats once these have failed as it did not expect, and pushes the same
            # error again and again; only to join anew starts them anew.
            # Forced by test_a_member_whose_heartbeat_task_has_ended_joins_again.
            if heartbeats_have_ended(consumer):
                coordinator_of(consumer).request_rejoin()
            await asyncio.sleep(MONITOR_INTERVAL_S)
        # The client does not say that its fetching has ended: every lane would wait for records for ever.
        # Forced by test_a_fetch_task_that_fails_ends_the_service.
        fetching = fetch_task_of(consumer)
        if fetching.done() and not fetching.cancelled():
            ended = fetching.exception()
            raise FatalError(f"the client fetches no more: {describe(ended) if ended else 'its task has ended'}")


async def monitor_cluster(consumer: AIOKafkaConsumer, topics: TopicSettings, report: Callable[[str], None]) -> None:
    """Look at the cluster every few seconds; whether all is there is what ``/readyz`` needs to know.

    Parameters
    ----------
    consumer, topics
        Of the service.
    report
        Is given what is wrong with the cluster after each look; an empty sentence if nothing is.
    """
    in_vain = 0
    while True:
        try:
            async with asyncio.timeout(MONITOR_TIMEOUT_S):
                # The client's own question, which is about our topics alone, see transport.metadata.
                answered = await client_of(consumer).force_metadata_update()
        except (KafkaError, TimeoutError):
            answered = False
        if answered:
            reason = _cluster_problem(cluster_metadata_of(consumer), topics)
            in_vain = 0
        else:
            reason = "no broker answers"
            in_vain += 1
        if in_vain >= FAILURES_BEFORE_BOOTSTRAP:
            await _bootstrap_again(consumer)
        report(reason)
        await asyncio.sleep(MONITOR_INTERVAL_S)


def _cluster_problem(cluster: Any, topics: TopicSettings) -> str:
    """Name topics that are gone, or partitions without a leader; empty if all is well."""
    partitions = {name: cluster.partitions_for_topic(name) for name in topics.names}
    gone = [name for name, some in partitions.items() if some is None]
    if gone:
        return f"topics are gone: {', '.join(gone)}"
    every = [TopicPartition(name, each) for name in topics.names for each in sorted(partitions[name])]
    leaderless = [f"{tp.topic}/{tp.partition}" for tp in every if cluster.leader_for_partition(tp) == NO_LEADER]
    return f"no leader for {', '.join(leaderless)}" if leaderless else ""


async def _bootstrap_again(consumer: AIOKafkaConsumer) -> None:
    """Ask the brokers of the settings, as at the start: those known may have gone for good.

    The client itself asks only brokers that it has heard of last.
    Forced by test_brokers_at_new_addresses_are_found_by_the_settings.
    """
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(MONITOR_TIMEOUT_S):
            await client_of(consumer).bootstrap()
            await client_of(consumer).force_metadata_update()  # a bootstrap tells of brokers, not of topics
