"""The request that appends record batches to partitions.

References
----------
.. [1] Apache Kafka, Protocol Guide: Produce (0).
.. [2] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka import TopicPartition
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, Int16, Int32, Int64, Schema

from transport.protocol.requests import NAME, NO_TAGS, TAGS, THROTTLE, Prepared, by_topic

ALL_REPLICAS: Final = -1


class _ProduceAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("offset", Int64),
                        ("timestamp_ms", Int64),
                        ("log_start_offset", Int64),
                        ("record_errors", CompactArray(("index", Int32), ("message", NAME), TAGS)),
                        ("error_message", NAME),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        THROTTLE,
        TAGS,
    )


class _Produce(RequestStruct):  # type: ignore[misc]
    API_KEY = 0
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ProduceAnswer
    SCHEMA = Schema(
        ("transactional_id", NAME),
        ("acks", Int16),
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                ("partitions", CompactArray(("partition", Int32), ("records", CompactBytes), TAGS)),
                TAGS,
            ),
        ),
        TAGS,
    )


class _ProduceV9Answer(_ProduceAnswer):
    API_VERSION = 9


class _ProduceV9(_Produce):
    """The first flexible version: brokers without transactions of version 2 may not have a newer one."""

    API_VERSION = 9
    RESPONSE_TYPE = _ProduceV9Answer


def produce(
    transactional_id: str, batches: Mapping[TopicPartition, bytes | bytearray], timeout_ms: int, *, version_2: bool
) -> Prepared:
    """Make the request that appends a batch to each of some partitions.

    With transactions of version 2 it also adds the partitions to the transaction.
    """
    kind = _Produce if version_2 else _ProduceV9
    topics = [
        (topic, [(number, batch, NO_TAGS) for number, batch in by_number], NO_TAGS)
        for topic, by_number in by_topic(batches.items()).items()
    ]
    return Prepared(kind(transactional_id, ALL_REPLICAS, timeout_ms, topics, NO_TAGS))
