"""Asks the transaction coordinator for the state of a transaction, which aiokafka has no request for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from tests.harness.topics import Broker

OFFSETS_TOPIC = "__consumer_offsets"
NO_COORDINATOR = (14, 15)
ENDED = ("Empty", "CompleteCommit", "CompleteAbort")


@dataclass(frozen=True)
class Transaction:
    """The state, as Kafka names it, and the topics that were added."""

    state: str
    topics: frozenset[str]


async def transaction_coordinator(broker: Broker, transactional_id: str) -> int:
    """Return the broker that coordinates the transactions of a producer."""
    node: int = await broker.admin._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    return node


async def describe_transaction(broker: Broker, transactional_id: str) -> Transaction:
    """Ask for a producer's transaction, the last one or the present."""
    client, node = broker.admin._client, await transaction_coordinator(broker, transactional_id)
    await client.ready(node)
    (found,) = (await client.send(node, _DescribeTransactions(transactional_id))).transactions
    error, _, state, *_, topics, _ = found
    assert error == 0, f"the coordinator answers with error {error}"
    return Transaction(state, frozenset(topic for topic, *_ in topics))


async def transactional_ids(broker: Broker, prefix: str) -> list[str]:
    """Return the ids that begin with a prefix and that the brokers know."""
    client = broker.admin._client
    ids: list[str] = []
    for node in {each.nodeId for each in client.cluster.brokers()}:
        await client.ready(node)
        answer = await client.send(node, _ListTransactions())
        if answer.error_code not in NO_COORDINATOR:  # the topic for transactions is yet to be made
            assert answer.error_code == 0, f"a broker answers with error {answer.error_code}"
            ids += (each for each, *_ in answer.transactions if each.startswith(prefix))
    return sorted(ids)


async def open_transactions(broker: Broker, prefix: str) -> list[str]:
    """Return the ids that begin with a prefix and have a transaction that has begun and not ended, markers included."""
    ids = await transactional_ids(broker, prefix)
    states = [(await describe_transaction(broker, each)).state for each in ids]
    return [each for each, state in zip(ids, states, strict=True) if state not in ENDED]


class _Answer(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields))


class _DescribeTransactions(Request[_Question]):  # type: ignore[misc]  # as above
    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, kind: type[_Question]) -> Any:
        return kind([self._transactional_id], {})


class _ListAnswer(Response):  # type: ignore[misc]  # as above
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(CompactString("utf-8"))),
        (
            "transactions",
            CompactArray(
                ("transactional_id", CompactString("utf-8")),
                ("producer_id", Int64),
                ("state", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ListQuestion(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ListAnswer
    SCHEMA = Schema(
        ("state_filters", CompactArray(CompactString("utf-8"))),
        ("producer_id_filters", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class _ListTransactions(Request[_ListQuestion]):  # type: ignore[misc]  # as above
    API_KEY = 66

    def build(self, kind: type[_ListQuestion]) -> Any:
        return kind([], [], {})
