"""The requests that commit offsets of a group in a transaction, and that read its committed offsets.

References
----------
.. [1] Apache Kafka, Protocol Guide: OffsetFetch (9), TxnOffsetCommit (28).
.. [2] KIP-447: Producer scalability for exactly once semantics.
.. [3] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, Int16, Int32, Int64, Schema

from transport.protocol.requests import (
    CODES_BY_TOPIC,
    NAME,
    NO_TAGS,
    PARTITIONS_BY_TOPIC,
    TAGS,
    THROTTLE,
    Prepared,
    by_topic,
    numbers_by_topic,
)
from transport.protocol.transactions import Producer

NO_LEADER_EPOCH: Final = -1
NO_METADATA: Final = ""


class Member(NamedTuple):
    """A member of a consumer group in one of its generations: a coordinator refuses the offsets of a former member."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None = None


class _TxnOffsetCommitAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 28
    API_VERSION = 5
    SCHEMA = Schema(THROTTLE, ("topics", CODES_BY_TOPIC), TAGS)


class _TxnOffsetCommit(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TxnOffsetCommitAnswer
    SCHEMA = Schema(
        ("transactional_id", NAME),
        ("group_id", NAME),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("generation", Int32),
        ("member_id", NAME),
        ("instance_id", NAME),
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", NAME), TAGS
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class _TxnOffsetCommitV3Answer(_TxnOffsetCommitAnswer):
    API_VERSION = 3


class _TxnOffsetCommitV3(_TxnOffsetCommit):
    API_VERSION = 3
    RESPONSE_TYPE = _TxnOffsetCommitV3Answer


def commit_offsets(
    producer: Producer, member: Member, offsets: Mapping[TopicPartition, int], *, version_2: bool
) -> Prepared:
    """Make the request that commits offsets when the transaction commits.

    With transactions of version 2 it also adds the group to the transaction.
    """
    kind = _TxnOffsetCommit if version_2 else _TxnOffsetCommitV3
    topics = [
        (topic, [(number, offset, NO_LEADER_EPOCH, NO_METADATA, NO_TAGS) for number, offset in by_number], NO_TAGS)
        for topic, by_number in by_topic(offsets.items()).items()
    ]
    group_id, generation, member_id, instance_id = member
    return Prepared(
        kind(
            producer.transactional_id,
            group_id,
            producer.producer_id,
            producer.epoch,
            generation,
            member_id,
            instance_id,
            topics,
            NO_TAGS,
        )
    )


class _OffsetFetchAnswer(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        THROTTLE,
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", NAME),
                        ("error_code", Int16),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        ("error_code", Int16),
        TAGS,
    )


class _OffsetFetch(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchAnswer
    SCHEMA = Schema(("group_id", NAME), ("topics", PARTITIONS_BY_TOPIC), ("require_stable", Boolean), TAGS)


def fetch_offsets(group_id: str, partitions: Iterable[TopicPartition], *, stable: bool) -> Prepared:
    """Make the request for a group's committed offsets.

    If `stable`, a partition whose offset an open transaction may change is refused (KIP-447).
    """
    return Prepared(_OffsetFetch(group_id, numbers_by_topic(partitions), stable, NO_TAGS))
