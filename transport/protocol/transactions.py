"""The requests that begin and end a transaction, and those of version 1 that add partitions and a group to it.

References
----------
.. [1] Apache Kafka, Protocol Guide: InitProducerId (22), AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26).
.. [2] KIP-98: Exactly Once Delivery and Transactional Messaging.
.. [3] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Boolean, Int16, Int32, Int64, Schema

from transport.protocol.requests import (
    CODES_BY_TOPIC,
    NAME,
    NO_TAGS,
    PARTITIONS_BY_TOPIC,
    TAGS,
    THROTTLE,
    Prepared,
    numbers_by_topic,
)

NO_PRODUCER: Final = (-1, -1)
"""Producer id and epoch of a request for a new epoch."""


class Producer(NamedTuple):
    """A transactional producer in one of its epochs."""

    transactional_id: str
    producer_id: int
    epoch: int


class _InitProducerIdAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 22
    API_VERSION = 4
    SCHEMA = Schema(THROTTLE, ("error_code", Int16), ("producer_id", Int64), ("epoch", Int16), TAGS)


class _InitProducerId(RequestStruct):  # type: ignore[misc]
    API_KEY = 22
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _InitProducerIdAnswer
    SCHEMA = Schema(("transactional_id", NAME), ("timeout_ms", Int32), ("producer_id", Int64), ("epoch", Int16), TAGS)


def init_producer_id(transactional_id: str, timeout_ms: int) -> Prepared:
    """Make the request for a new epoch: the transaction of the epoch before is ended."""
    return Prepared(_InitProducerId(transactional_id, timeout_ms, *NO_PRODUCER, NO_TAGS))


class _AddPartitionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 24
    API_VERSION = 3
    SCHEMA = Schema(THROTTLE, ("topics", CODES_BY_TOPIC), TAGS)


class _AddPartitions(RequestStruct):  # type: ignore[misc]
    API_KEY = 24
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AddPartitionsAnswer
    SCHEMA = Schema(
        ("transactional_id", NAME),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("topics", PARTITIONS_BY_TOPIC),
        TAGS,
    )


def add_partitions(producer: Producer, partitions: Iterable[TopicPartition]) -> Prepared:
    """Make the request that adds partitions to a transaction of version 1."""
    return Prepared(_AddPartitions(*producer, numbers_by_topic(partitions), NO_TAGS))


class _AddOffsetsAnswer(Response):  # type: ignore[misc]
    API_KEY = 25
    API_VERSION = 3
    SCHEMA = Schema(THROTTLE, ("error_code", Int16), TAGS)


class _AddOffsets(RequestStruct):  # type: ignore[misc]
    API_KEY = 25
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AddOffsetsAnswer
    SCHEMA = Schema(("transactional_id", NAME), ("producer_id", Int64), ("epoch", Int16), ("group_id", NAME), TAGS)


def add_offsets(producer: Producer, group_id: str) -> Prepared:
    """Make the request that adds a group's offsets to a transaction of version 1."""
    return Prepared(_AddOffsets(*producer, group_id, NO_TAGS))


class _EndTxnAnswer(Response):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(THROTTLE, ("error_code", Int16), ("producer_id", Int64), ("epoch", Int16), TAGS)


class _EndTxn(RequestStruct):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _EndTxnAnswer
    SCHEMA = Schema(("transactional_id", NAME), ("producer_id", Int64), ("epoch", Int16), ("commit", Boolean), TAGS)


class _EndTxnV3Answer(Response):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 3
    SCHEMA = Schema(THROTTLE, ("error_code", Int16), TAGS)


class _EndTxnV3(_EndTxn):
    API_VERSION = 3
    RESPONSE_TYPE = _EndTxnV3Answer


def end_transaction(producer: Producer, *, commit: bool, version_2: bool) -> Prepared:
    """Make the request that ends a transaction; with version 2 its answer has the epoch of the next one."""
    kind = _EndTxn if version_2 else _EndTxnV3
    return Prepared(kind(producer.transactional_id, producer.producer_id, producer.epoch, commit, NO_TAGS))
