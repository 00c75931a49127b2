"""Reads the newest result of any partition, so that an instance knows with which model another one answers."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka import TopicPartition

from consumer.exchange.rollout import RolloutUnknown
from consumer.partitions.opening.after_results import LONGEST_STEP, newest_result
from consumer.partitions.opening.results_log import SpanReader
from consumer.partitions.state import OffsetLost
from consumer.settings import Settings
from contract.records import Result
from transport.denials import denial
from transport.errors import KafkaError, describe
from transport.group.consumers import open_range_consumer
from transport.internals import client_of, cluster_metadata_of

TIMEOUT_S: Final = 30.0


async def newest_result_of(partition: int, settings: Settings) -> Result | None:
    """Return the newest result of a partition of requests; None if the last ones of its log have none.

    Raises
    ------
    RolloutUnknown
        The brokers do not answer, or the service has no right to read the results.
    """
    source, topic = TopicPartition(settings.topics.requests, partition), settings.topics.predictions
    try:
        async with asyncio.timeout(TIMEOUT_S), open_range_consumer(settings, (), "read_committed") as client:
            await client_of(client).force_metadata_update()  # the start finds brokers, not topics
            known = cluster_metadata_of(client).partitions_for_topic(topic)
            if not known:
                raise RolloutUnknown(f"the brokers do not know topic {topic}")
            results = TopicPartition(topic, partition % len(known))
            begin = (await client.beginning_offsets([results]))[results]
            end = (await client.end_offsets([results]))[results]
            reader = SpanReader(client, time.monotonic() + TIMEOUT_S)
            log = range(max(begin, end - LONGEST_STEP), end)
            return await newest_result(lambda step: reader.read(results, step), log, source)
    except (KafkaError, TimeoutError, OffsetLost) as error:
        why = denial(error, topic_right="Read") or describe(error)
        raise RolloutUnknown(f"cannot read with which model partition {partition} is answered: {why}") from error
