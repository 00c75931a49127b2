"""The requests of a transaction that aiokafka 0.14 does not have, in the versions that transactions of version 2 need.

A request has one fixed version. Versions are flexible (KIP-482): lengths are of variable size, and each structure ends
with tagged fields.

References
----------
.. [1] Apache Kafka, Protocol Guide: InitProducerId (22), Produce (0), TxnOffsetCommit (28), EndTxn (26),
   AddPartitionsToTxn (24), AddOffsetsToTxn (25), DescribeTransactions (65), ListTransactions (66), OffsetFetch (9),
   ApiVersions (18).
.. [2] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

NO_TAGS: Final[dict[int, bytes]] = {}
NO_PRODUCER: Final = (-1, -1)
"""Producer id and epoch of a request for a new epoch."""
ALL_REPLICAS: Final = -1
NO_LEADER_EPOCH: Final = -1
NO_METADATA: Final = ""
TRANSACTION_VERSION: Final = "transaction.version"
VERSION_2: Final = 2
FINALIZED_FEATURES: Final = 2
"""Tag of the finalized features in the answer to ApiVersions."""

_NAME: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)
_THROTTLE: Final = ("throttle_time_ms", Int32)
_CODES: Final = CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)
_CODES_BY_TOPIC: Final = CompactArray(("topic", _NAME), ("partitions", _CODES), _TAGS)
_PARTITIONS_BY_TOPIC: Final = CompactArray(("topic", _NAME), ("partitions", CompactArray(Int32)), _TAGS)


class Prepared:
    """A request for the client, which asks for the version that a broker understands. This one has only one.

    Parameters
    ----------
    struct
        The request.
    """

    def __init__(self, struct: RequestStruct) -> None:
        self.struct = struct

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """Return the request.

        Raises
        ------
        IncompatibleBrokerVersion
            The broker does not understand its version.
        """
        key, version = self.struct.API_KEY, self.struct.API_VERSION
        first, last = versions.get(key, (0, -1))
        if not first <= version <= last:
            raise IncompatibleBrokerVersion(
                f"the broker understands versions {first} to {last} of request {key}, not version {version}"
            )
        return self.struct


class Member(NamedTuple):
    """A member of a consumer group in one of its generations: a coordinator refuses the offsets of a former member."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None = None


class Producer(NamedTuple):
    """A transactional producer in one of its epochs."""

    transactional_id: str
    producer_id: int
    epoch: int


class _InitProducerIdAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 22
    API_VERSION = 4
    SCHEMA = Schema(_THROTTLE, ("error_code", Int16), ("producer_id", Int64), ("epoch", Int16), _TAGS)


class _InitProducerId(RequestStruct):  # type: ignore[misc]
    API_KEY = 22
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _InitProducerIdAnswer
    SCHEMA = Schema(("transactional_id", _NAME), ("timeout_ms", Int32), ("producer_id", Int64), ("epoch", Int16), _TAGS)


def init_producer_id(transactional_id: str, timeout_ms: int) -> Prepared:
    """Make the request for a new epoch: the transaction of the epoch before is ended."""
    return Prepared(_InitProducerId(transactional_id, timeout_ms, *NO_PRODUCER, NO_TAGS))


class _ProduceAnswer(Response):  # type: ignore[misc]
    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", _NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("offset", Int64),
                        ("timestamp_ms", Int64),
                        ("log_start_offset", Int64),
                        ("record_errors", CompactArray(("index", Int32), ("message", _NAME), _TAGS)),
                        ("error_message", _NAME),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _THROTTLE,
        _TAGS,
    )


class _Produce(RequestStruct):  # type: ignore[misc]
    API_KEY = 0
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ProduceAnswer
    SCHEMA = Schema(
        ("transactional_id", _NAME),
        ("acks", Int16),
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _NAME),
                ("partitions", CompactArray(("partition", Int32), ("records", CompactBytes), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
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
        for topic, by_number in _by_topic(batches.items()).items()
    ]
    return Prepared(kind(transactional_id, ALL_REPLICAS, timeout_ms, topics, NO_TAGS))


class _TxnOffsetCommitAnswer(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 5
    SCHEMA = Schema(_THROTTLE, ("topics", _CODES_BY_TOPIC), _TAGS)


class _TxnOffsetCommit(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TxnOffsetCommitAnswer
    SCHEMA = Schema(
        ("transactional_id", _NAME),
        ("group_id", _NAME),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("generation", Int32),
        ("member_id", _NAME),
        ("instance_id", _NAME),
        (
            "topics",
            CompactArray(
                ("topic", _NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", _NAME), _TAGS
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
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
        for topic, by_number in _by_topic(offsets.items()).items()
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


class _EndTxnAnswer(Response):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(_THROTTLE, ("error_code", Int16), ("producer_id", Int64), ("epoch", Int16), _TAGS)


class _EndTxn(RequestStruct):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _EndTxnAnswer
    SCHEMA = Schema(("transactional_id", _NAME), ("producer_id", Int64), ("epoch", Int16), ("commit", Boolean), _TAGS)


class _EndTxnV3Answer(Response):  # type: ignore[misc]
    API_KEY = 26
    API_VERSION = 3
    SCHEMA = Schema(_THROTTLE, ("error_code", Int16), _TAGS)


class _EndTxnV3(_EndTxn):
    API_VERSION = 3
    RESPONSE_TYPE = _EndTxnV3Answer


def end_transaction(producer: Producer, *, commit: bool, version_2: bool) -> Prepared:
    """Make the request that ends a transaction; with version 2 its answer has the epoch of the next one."""
    kind = _EndTxn if version_2 else _EndTxnV3
    return Prepared(kind(producer.transactional_id, producer.producer_id, producer.epoch, commit, NO_TAGS))


class _AddPartitionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 24
    API_VERSION = 3
    SCHEMA = Schema(_THROTTLE, ("topics", _CODES_BY_TOPIC), _TAGS)


class _AddPartitions(RequestStruct):  # type: ignore[misc]
    API_KEY = 24
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AddPartitionsAnswer
    SCHEMA = Schema(
        ("transactional_id", _NAME),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("topics", _PARTITIONS_BY_TOPIC),
        _TAGS,
    )


def add_partitions(producer: Producer, partitions: Iterable[TopicPartition]) -> Prepared:
    """Make the request that adds partitions to a transaction of version 1."""
    return Prepared(_AddPartitions(*producer, _numbers(partitions), NO_TAGS))


class _AddOffsetsAnswer(Response):  # type: ignore[misc]
    API_KEY = 25
    API_VERSION = 3
    SCHEMA = Schema(_THROTTLE, ("error_code", Int16), _TAGS)


class _AddOffsets(RequestStruct):  # type: ignore[misc]
    API_KEY = 25
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AddOffsetsAnswer
    SCHEMA = Schema(("transactional_id", _NAME), ("producer_id", Int64), ("epoch", Int16), ("group_id", _NAME), _TAGS)


def add_offsets(producer: Producer, group_id: str) -> Prepared:
    """Make the request that adds a group's offsets to a transaction of version 1."""
    return Prepared(_AddOffsets(*producer, group_id, NO_TAGS))


class _DescribeTransactionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        _THROTTLE,
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", _NAME),
                ("state", _NAME),
                ("timeout_ms", Int32),
                ("started_at_ms", Int64),
                ("producer_id", Int64),
                ("epoch", Int16),
                ("topics", _PARTITIONS_BY_TOPIC),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _DescribeTransactions(RequestStruct):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeTransactionsAnswer
    SCHEMA = Schema(("transactional_ids", CompactArray(_NAME)), _TAGS)


def describe_transactions(transactional_ids: Sequence[str]) -> Prepared:
    """Make the request for the state of producers' last or present transactions (KIP-664)."""
    return Prepared(_DescribeTransactions(list(transactional_ids), NO_TAGS))


class _ListTransactionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        _THROTTLE,
        ("error_code", Int16),
        ("unknown_states", CompactArray(_NAME)),
        (
            "transactions",
            CompactArray(("transactional_id", _NAME), ("producer_id", Int64), ("state", _NAME), _TAGS),
        ),
        _TAGS,
    )


class _ListTransactions(RequestStruct):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ListTransactionsAnswer
    SCHEMA = Schema(("states", CompactArray(_NAME)), ("producer_ids", CompactArray(Int64)), _TAGS)


def list_transactions(state: str) -> Prepared:
    """Make the request for the transactions in a state that a broker coordinates, and that we may see (KIP-664)."""
    return Prepared(_ListTransactions([state], [], NO_TAGS))


class _OffsetFetchAnswer(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        _THROTTLE,
        (
            "topics",
            CompactArray(
                ("topic", _NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _NAME),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class _OffsetFetch(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchAnswer
    SCHEMA = Schema(("group_id", _NAME), ("topics", _PARTITIONS_BY_TOPIC), ("require_stable", Boolean), _TAGS)


def fetch_offsets(group_id: str, partitions: Iterable[TopicPartition], *, stable: bool) -> Prepared:
    """Make the request for a group's committed offsets.

    If `stable`, a partition whose offset an open transaction may change is refused (KIP-447).
    """
    return Prepared(_OffsetFetch(group_id, _numbers(partitions), stable, NO_TAGS))


class _ApiVersionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        ("api_keys", CompactArray(("key", Int16), ("first", Int16), ("last", Int16), _TAGS)),
        _THROTTLE,
        _TAGS,
    )


class _ApiVersions(RequestStruct):  # type: ignore[misc]
    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ApiVersionsAnswer
    SCHEMA = Schema(("client_software_name", _NAME), ("client_software_version", _NAME), _TAGS)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> Any:
        """Parse the header, which is never flexible: a client does not know yet what the broker understands."""
        return ResponseHeader_v0.decode(read_buffer)


def api_versions() -> Prepared:
    """Make the request for what a broker understands; `transaction_version` reads the answer."""
    return Prepared(_ApiVersions("digitstream", "1", NO_TAGS))


_FEATURES: Final = CompactArray(("name", _NAME), ("last", Int16), ("first", Int16), _TAGS)


def transaction_version(answer: Any) -> int:
    """Return the version of transactions that a cluster has, from the answer to `api_versions`; 0 if it says nothing.

    See KIP-584 for finalized features.
    """
    encoded = answer.tags.get(FINALIZED_FEATURES)
    features = _FEATURES.decode(BytesIO(encoded)) if encoded else []
    return next((int(last) for name, last, *_ in features or () if name == TRANSACTION_VERSION), 0)


def codes_of(answer: Any) -> dict[TopicPartition, int]:
    """Return the error code of each partition in an answer by topic and partition; 0 is success."""
    return {
        TopicPartition(topic, number): code
        for topic, partitions, *_ in answer.topics
        for number, code, *_ in partitions
    }


def _numbers(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[int], dict[int, bytes]]]:
    by_topic: dict[str, list[int]] = {}
    for topic, number in partitions:
        by_topic.setdefault(topic, []).append(number)
    return [(topic, numbers, NO_TAGS) for topic, numbers in by_topic.items()]


def _by_topic(items: Iterable[tuple[TopicPartition, Any]]) -> dict[str, list[tuple[int, Any]]]:
    by_topic: dict[str, list[tuple[int, Any]]] = {}
    for (topic, number), item in items:
        by_topic.setdefault(topic, []).append((number, item))
    return by_topic
