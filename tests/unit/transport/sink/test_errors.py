"""Broker errors by what follows from them."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    KafkaError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
)

from transport.errors import describe
from transport.sink import errors
from transport.sink.errors import NotCommitted, OutcomeUnknown, PartitionsUnavailable, error_for


@pytest.mark.parametrize(
    ("code", "kind"), [(19, NotEnoughReplicasError), (29, TopicAuthorizationFailedError), (51, ConcurrentTransactions)]
)
def test_an_error_that_the_client_knows_has_the_class_of_the_client(code: int, kind: type[KafkaError]) -> None:
    error = error_for(code, "digits.predictions")
    assert type(error) is kind
    assert error.args == ("digits.predictions",)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (90, "RefusedError: [Error 90] ProducerFencedError: a 0"),
        (120, "RefusedError: [Error 120] TransactionAbortableError: a 0"),
        (88, "RefusedError: [Error 88] UnstableOffsetCommitError: a 0"),
        (999, "RefusedError: [Error 999] unknown error: a 0"),
    ],
)
def test_an_error_that_the_client_does_not_know_has_its_name_or_number(code: int, text: str) -> None:
    error = error_for(code, "a", 0)
    assert isinstance(error, BrokerResponseError)
    assert (error.errno, describe(error_for(code))) == (code, text.removesuffix(": a 0"))
    assert describe(error) == text


def test_an_error_code_has_one_consequence() -> None:
    kinds = [
        {errors.CONCURRENT_TRANSACTIONS},
        errors.NOT_COORDINATOR,
        errors.STALE_MEMBER,
        errors.PARTITION_UNAVAILABLE,
        errors.FATAL,
    ]
    assert len(frozenset().union(*kinds)) == sum(map(len, kinds))


def test_unavailable_partitions_are_named_and_mean_not_committed() -> None:
    partitions = {TopicPartition("a", 0): error_for(19), TopicPartition("b", 7): error_for(6)}
    error = PartitionsUnavailable(partitions)
    assert error.partitions == partitions
    assert str(error).startswith("a/0: [Error 19] NotEnoughReplicasError")
    assert "b/7: [Error 6] NotLeaderForPartitionError" in str(error)
    assert isinstance(error, NotCommitted)
    assert not issubclass(OutcomeUnknown, NotCommitted)
