"""Where a lane starts to read if the group has no offset: never committed, expired, or under another name."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.opening.after_results import Start, newest_result, start_after
from consumer.partitions.opening.position import DEADLINE_S
from consumer.partitions.opening.results_log import (
    ABORT_INTERVAL_S,
    ANSWER_S,
    OTHERWISE,
    SEARCH_S,
    Reader,
    decided,
    looked_at_again,
)
from consumer.partitions.state import OffsetLost
from consumer.settings import AutoOffsetReset, Settings
from transport.denials import denial
from transport.errors import FatalError, KafkaError, OwnershipLost, describe
from transport.group.consumers import open_range_consumer
from transport.metadata import live_servers

log = structlog.get_logger()


async def reset_offset(
    consumer: AIOKafkaConsumer, partition: TopicPartition, results: TopicPartition, settings: Settings
) -> Start:
    """Decide by ``AUTO_OFFSET_RESET``, and log it.

    Parameters
    ----------
    consumer
        The service's.
    partition, results
        The partition of requests, and that of its results.
    settings
        Which way to decide.

    Raises
    ------
    OffsetLost
        The setting leaves the decision to an operator, or no result was found in time.
    FatalError
        The results may not be read.
    OwnershipLost
        The brokers did not answer in time.
    """
    name = f"{partition.topic}/{partition.partition}"
    way = settings.kafka.auto_offset_reset
    requests = await _log_of(consumer, partition)
    if way is AutoOffsetReset.NONE:
        raise OffsetLost(
            f"group {settings.kafka.group_id} has no committed offset in {name}, whose log has the offsets "
            f"{requests.start} to {requests.stop}, and DIGITS_KAFKA__AUTO_OFFSET_RESET=none: stop all instances, "
            "then set the group's offset (kafka-consumer-groups.sh --reset-offsets) or another value",
            None,
        )
    if way is AutoOffsetReset.LATEST:  # to be committed also where the log is empty: what comes next is to be answered
        start = Start(requests.stop, f"AUTO_OFFSET_RESET={way}", is_known=True)
    elif not requests or way is AutoOffsetReset.EARLIEST:
        start = Start(requests.start, f"AUTO_OFFSET_RESET={way}" if requests else "the log is empty", is_known=False)
    else:
        start = await _find_start(consumer, partition, requests, results, settings)
    may_skip_or_repeat = bool(requests) and (start.is_known or way is not AutoOffsetReset.AFTER_RESULTS)
    write = log.warning if may_skip_or_repeat else log.info
    write(
        "no committed offset",
        partition=name,
        log_start=requests.start,
        log_end=requests.stop,
        why=start.why,
        action=f"going on at {start.offset}",
    )
    return start


async def _find_start(
    consumer: AIOKafkaConsumer, source: TopicPartition, requests: range, results: TopicPartition, settings: Settings
) -> Start:
    """Find the last request that has its results, and decide where to go on.

    Call it after the fencing start of the partition's producer: what the group's previous owner had open is aborted.

    Parameters
    ----------
    consumer
        The service's; the clients that read connect to the brokers that it knows.
    source, requests
        The partition of requests and its offsets.
    results
        The partition that its results go to.
    settings
        How to connect.

    Raises
    ------
    OwnershipLost
        The brokers did not answer in time, or somebody's transaction hides the end of the results.
    OffsetLost
        No result was found in time among those of others.
    FatalError
        The results may not be read.
    """
    name = f"{source.topic}/{source.partition}"
    servers = live_servers(consumer)
    try:
        async with open_range_consumer(settings, servers, "read_uncommitted") as client, asyncio.timeout(ANSWER_S):
            begin = (await client.beginning_offsets([results]))[results]
            end = (await client.end_offsets([results]))[results]
        if begin == end:
            return start_after(None, requests, None)  # a new deployment needs no right to read results
        async with open_range_consumer(settings, servers, "read_committed") as client:
            await decided(client, results, end, settings.kafka.transaction_timeout_ms / 1000 + ABORT_INTERVAL_S)
            reader = Reader(client, time.monotonic() + SEARCH_S)
            begin = await reader.first_since(results, range(begin, end), await reader.first(source, requests))
            found = await newest_result(lambda step: reader.read(results, step), range(min(begin, end), end), source)
            if found is None:
                return start_after(None, requests, None)
            requests = await looked_at_again(client, source, requests, found.source.offset)
            asked = range(found.source.offset, requests.stop) if found.source.offset in requests else range(0)
            return start_after(found, requests, await reader.first(source, asked))
    except (KafkaError, TimeoutError) as error:
        if denied := denial(error, topic_right="Read"):
            why = f"{denied}: it is read since the group has no offset in {name}; {OTHERWISE}"
            raise FatalError(why) from error
        raise OwnershipLost(f"could not find the last answered request of {name}: {describe(error)}") from error


async def _log_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> range:
    try:
        async with asyncio.timeout(DEADLINE_S):
            begin = (await consumer.beginning_offsets([partition]))[partition]
            end = (await consumer.end_offsets([partition]))[partition]
    except (KafkaError, TimeoutError) as error:
        name = f"{partition.topic}/{partition.partition}"
        raise OwnershipLost(f"could not find where {name} begins and ends: {describe(error)}") from error
    return range(begin, end)
