"""Three tasks that monitor the client while the service runs.

broker watch   checks that brokers answer and have our topics, each partition with a leader
group watch    polls the client, which raises the group's errors there
ends watch     refreshes the log ends of our partitions, also while no fetch is answered

They end the service only if the client itself has stopped working; otherwise the client and the lanes retry.
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
    TopicAuthorizationFailedError,
)

from contract.topics import TopicSettings
from transport.denials import denial
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
"""Long enough to try three brokers that hang, and to wait for the answer of a fourth."""
POLL_MS: Final = 1_000
UNASSIGNED: Final = TopicPartition("", 0)
"""A partition that is never assigned."""
FATAL_GROUP_ERRORS: Final = (InconsistentGroupProtocolError, InvalidGroupIdError, InvalidSessionTimeoutError)
"""Errors by which a group refuses a member, and would refuse it again."""
DENIALS_BEFORE_FATAL: Final = 2
"""Refreshes in a row that must say that a topic may not be seen: one of them may be the answer of a starting broker."""
FAILURES_BEFORE_BOOTSTRAP: Final = 5
"""Failed refreshes in a row after which the brokers of the settings are tried again."""


@contextlib.asynccontextmanager
async def monitored_cluster(
    consumer: AIOKafkaConsumer, topics: TopicSettings, report: Callable[[str], None], group: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Run the three tasks while the context lasts; `report` is as for `monitor_cluster`."""
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
        await asyncio.wait(watches)  # before the consumer stops: a poll of a stopped consumer fails


async def poll_group(consumer: AIOKafkaConsumer) -> None:
    """Poll the client without fetching records.

    The group removes a member that never polls, even one without partitions, and the client raises the group's errors
    in a poll. With an empty list of partitions, `getmany` would return records of every partition.

    Raises
    ------
    FatalError
        The group refuses us, we may not read it or the topic, or a task of the client has ended.
    """
    while True:
        try:
            await consumer.getmany(UNASSIGNED, timeout_ms=POLL_MS)
        except KafkaError as error:
            if denied := denial(error, topic_right="Read"):
                raise FatalError(denied) from error
            if isinstance(error, FATAL_GROUP_ERRORS):
                raise FatalError(f"the group refuses this member: {describe(error)}") from error
            if coordination_has_ended(consumer):
                raise FatalError(f"the client has left the group: {describe(error)}") from error
            log.warning("group error", why=describe(error), action="retrying")
            # After an unexpected error of a heartbeat the client sends no more heartbeats, and raises the same error in
            # every poll. Only a new join starts the heartbeats again.
            # Forced by test_a_member_whose_heartbeat_task_has_ended_joins_again.
            if heartbeats_have_ended(consumer):
                coordinator_of(consumer).request_rejoin()
            await asyncio.sleep(MONITOR_INTERVAL_S)
        # The client does not report that its fetch task has ended; all lanes would wait for records forever.
        # Forced by test_a_fetch_task_that_fails_ends_the_service.
        fetching = fetch_task_of(consumer)
        if fetching.done() and not fetching.cancelled():
            ended = fetching.exception()
            raise FatalError(f"the fetch task of the client has ended: {describe(ended) if ended else 'no error'}")


async def monitor_cluster(consumer: AIOKafkaConsumer, topics: TopicSettings, report: Callable[[str], None]) -> None:
    """Check every few seconds that brokers, topics and leaders are available; ``/readyz`` shows the result.

    Parameters
    ----------
    consumer, topics
        Those of the service.
    report
        Is called after each check with the problem that was found; with an empty string if there is none.

    Raises
    ------
    FatalError
        A topic may not be seen any more. Without this, a topic that the brokers hide before they refuse a fetch or a
        transaction would count as missing, and the service would wait forever.
    """
    failures = denials = 0
    while True:
        if await _refresh(consumer):
            cluster = cluster_metadata_of(consumer)
            reason, denied = _cluster_problem(cluster, topics), _denied_topic(cluster, topics)
            failures, denials = 0, denials + 1 if denied else 0
            if denied and denials == DENIALS_BEFORE_FATAL:
                raise FatalError(denied)
        else:
            reason = "no broker answers"
            failures += 1
        if failures >= FAILURES_BEFORE_BOOTSTRAP:
            await _bootstrap_again(consumer)
        report(reason)
        await asyncio.sleep(MONITOR_INTERVAL_S)


async def _refresh(consumer: AIOKafkaConsumer) -> bool:
    """Have the client refresh its metadata; return whether a broker has answered. Only our topics are requested.

    If the first request fails, another one follows at once. A broker may end a connection just then, because it was
    idle, or because its token has expired, and answers on the next connection.
    Forced by test_a_connection_that_a_broker_has_ended_is_no_problem_of_the_cluster.
    """
    client = client_of(consumer)
    try:
        async with asyncio.timeout(MONITOR_TIMEOUT_S):
            return bool(await client.force_metadata_update() or await client.force_metadata_update())
    except (KafkaError, TimeoutError):
        return False


def _cluster_problem(cluster: Any, topics: TopicSettings) -> str:
    """Name missing topics, or partitions without a leader; return an empty string if there are none."""
    partitions = {name: cluster.partitions_for_topic(name) for name in topics.names}
    gone = [name for name, some in partitions.items() if some is None]
    if gone:
        return f"topics are missing: {', '.join(gone)}"
    every = [TopicPartition(name, each) for name in topics.names for each in sorted(partitions[name])]
    leaderless = [f"{tp.topic}/{tp.partition}" for tp in every if cluster.leader_for_partition(tp) == NO_LEADER]
    return f"no leader for {', '.join(leaderless)}" if leaderless else ""


def _denied_topic(cluster: Any, topics: TopicSettings) -> str | None:
    """Name the right that is missing for a topic that may not be seen; None if all may."""
    for name in topics.names:
        if name in cluster.unauthorized_topics:
            topic_right = "Read" if name == topics.requests else "Write"
            return denial(TopicAuthorizationFailedError(name), topic_right=topic_right)
    return None


async def _bootstrap_again(consumer: AIOKafkaConsumer) -> None:
    """Connect to the brokers of the settings, as at the start: all known brokers may be gone.

    The client itself tries only the brokers in its last metadata.
    Forced by test_brokers_at_new_addresses_are_found_by_the_settings.
    """
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(MONITOR_TIMEOUT_S):
            await client_of(consumer).bootstrap()
            await client_of(consumer).force_metadata_update()  # a bootstrap finds brokers, not topics
