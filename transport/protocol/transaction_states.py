"""The requests for the transactions that a broker coordinates, and for their states (KIP-664).

References
----------
.. [1] Apache Kafka, Protocol Guide: DescribeTransactions (65), ListTransactions (66).
.. [2] KIP-664: Provide tooling to detect and abort hanging transactions.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import CompactArray, Int16, Int32, Int64, Schema

from transport.protocol.requests import NAME, NO_TAGS, PARTITIONS_BY_TOPIC, TAGS, THROTTLE, Prepared


class _DescribeTransactionsAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        THROTTLE,
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", NAME),
                ("state", NAME),
                ("timeout_ms", Int32),
                ("started_at_ms", Int64),
                ("producer_id", Int64),
                ("epoch", Int16),
                ("topics", PARTITIONS_BY_TOPIC),
                TAGS,
            ),
        ),
        TAGS,
    )


class _DescribeTransactions(RequestStruct):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeTransactionsAnswer
    SCHEMA = Schema(("transactional_ids", CompactArray(NAME)), TAGS)


def describe_transactions(transactional_ids: Sequence[str]) -> Prepared:
    """Make the request for the state of producers' last or present transactions (KIP-664)."""
    return Prepared(_DescribeTransactions(list(transactional_ids), NO_TAGS))


class _ListTransactionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        THROTTLE,
        ("error_code", Int16),
        ("unknown_states", CompactArray(NAME)),
        (
            "transactions",
            CompactArray(("transactional_id", NAME), ("producer_id", Int64), ("state", NAME), TAGS),
        ),
        TAGS,
    )


class _ListTransactions(RequestStruct):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ListTransactionsAnswer
    SCHEMA = Schema(("states", CompactArray(NAME)), ("producer_ids", CompactArray(Int64)), TAGS)


def list_transactions(state: str) -> Prepared:
    """Make the request for the transactions in a state that a broker coordinates, and that we may see (KIP-664)."""
    return Prepared(_ListTransactions([state], [], NO_TAGS))
