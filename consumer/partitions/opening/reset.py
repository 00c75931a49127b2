"""Finds where a lane starts if the group has no offset: a new group, a renamed group, or an expired offset."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.opening.after_results import StartOffset, newest_result, start_after
from consumer.partitions.opening.position import DEADLINE_S
from consumer.partitions.opening.results_log import (
    ABORT_INTERVAL_S,
    ANSWER_TIMEOUT_S,
    OTHER_POLICIES,
    SEARCH_TIMEOUT_S,
    SpanReader,
    reread_log_end,
    wait_for_open_transactions,
)
from consumer.partitions.state import OffsetLost
from consumer.settings import AutoOffsetReset, Settings
from transport.denials import denial
from transport.errors import FatalError, KafkaError, OwnershipLost, describe
from transport.group.consumers import open_range_consumer
from transport.group.lookups import Lookups
from transport.metadata import live_servers

log = structlog.get_logger()


async def reset_offset(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    results: TopicPartition,
    settings: Settings,
    *,
    lookups: Lookups | None = None,
) -> StartOffset:
    """Return where a partition starts, as the setting ``AUTO_OFFSET_RESET`` says, and log it.

    Parameters
    ----------
    consumer
        The consumer of the service.
    partition, results
        The partition of requests, and the partition of its results.
    settings
        The settings with the policy.
    lookups
        By which offsets are looked up; None: by requests for this partition alone.

    Raises
    ------
    OffsetLost
        The policy is `none`, so an operator has to decide; or no result was found in time.
    FatalError
        The service has no right to read the results.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    policy = settings.kafka.auto_offset_reset
    requests = await _log_of(lookups or Lookups(consumer), partition)
    if policy is AutoOffsetReset.NONE:
        raise OffsetLost(
            f"group {settings.kafka.group_id} has no committed offset in {name}, whose log has the offsets "
            f"{requests.start} to {requests.stop}, and DIGITS_KAFKA__AUTO_OFFSET_RESET=none: stop all instances, "
            "then set the group's offset (kafka-consumer-groups.sh --reset-offsets) or another value",
            None,
        )
    if policy is AutoOffsetReset.LATEST:
        # It is committed even if the log is empty: requests that arrive later must be answered.
        start = StartOffset(requests.stop, f"AUTO_OFFSET_RESET={policy}", is_known=True)
    elif not requests or policy is AutoOffsetReset.EARLIEST:
        start = StartOffset(
            requests.start, f"AUTO_OFFSET_RESET={policy}" if requests else "the log is empty", is_known=False
        )
    else:
        start = await _find_start(consumer, partition, requests, results, settings)
    may_skip_or_repeat = bool(requests) and (start.is_known or policy is not AutoOffsetReset.AFTER_RESULTS)
    write = log.warning if may_skip_or_repeat else log.info
    write(
        "no committed offset",
        partition=name,
        log_start=requests.start,
        log_end=requests.stop,
        why=start.why,
        action=f"starting at {start.offset}",
    )
    return start


async def _find_start(
    consumer: AIOKafkaConsumer, source: TopicPartition, requests: range, results: TopicPartition, settings: Settings
) -> StartOffset:
    """Find the last request that has results, and return where to start.

    Call it after the fencing start of the partition's producer, which aborts the transaction of the previous owner.

    Parameters
    ----------
    consumer
        The consumer of the service. The clients that read results connect to the brokers that it knows.
    source, requests
        The partition of requests, and the offsets in its log.
    results
        The partition that contains its results.
    settings
        The settings for the connection.

    Raises
    ------
    OwnershipLost
        The brokers did not answer in time, or an open transaction hides the newest results.
    OffsetLost
        No result was found in time among the results of other partitions.
    FatalError
        The service has no right to read the results.
    """
    name = f"{source.topic}/{source.partition}"
    servers = live_servers(consumer)
    try:
        async with (
            open_range_consumer(settings, servers, "read_uncommitted") as client,
            asyncio.timeout(ANSWER_TIMEOUT_S),
        ):
            begin = (await client.beginning_offsets([results]))[results]
            end = (await client.end_offsets([results]))[results]
        if begin == end:
            return start_after(None, requests, None)  # a new deployment needs no right to read results
        async with open_range_consumer(settings, servers, "read_committed") as client:
            await wait_for_open_transactions(
                client, results, end, settings.kafka.transaction_timeout_ms / 1000 + ABORT_INTERVAL_S
            )
            reader = SpanReader(client, time.monotonic() + SEARCH_TIMEOUT_S)
            begin = await reader.first_since(results, range(begin, end), await reader.first(source, requests))
            found = await newest_result(lambda step: reader.read(results, step), range(min(begin, end), end), source)
            if found is None:
                return start_after(None, requests, None)
            requests = await reread_log_end(client, source, requests, found.source.offset)
            asked = range(found.source.offset, requests.stop) if found.source.offset in requests else range(0)
            return start_after(found, requests, await reader.first(source, asked))
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            why = f"{denied}: the results are read since the group has no offset in {name}; {OTHER_POLICIES}"
            raise FatalError(why) from error
        raise OwnershipLost(f"could not find the last answered request of {name}: {describe(error)}") from error


async def _log_of(lookups: Lookups, partition: TopicPartition) -> range:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await lookups.log_range(partition)
    except (KafkaError, TimeoutError) as error:
        name = f"{partition.topic}/{partition.partition}"
        raise OwnershipLost(f"could not read the first and the last offset of {name}: {describe(error)}") from error
