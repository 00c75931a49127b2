"""Broker errors by what follows from them."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    KafkaError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
)

from transport.errors import describe
from transport.protocol import error_codes
from transport.protocol.error_codes import error_for


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
        {error_codes.CONCURRENT_TRANSACTIONS},
        error_codes.NOT_COORDINATOR,
        error_codes.STALE_MEMBER,
        error_codes.PARTITION_UNAVAILABLE,
        error_codes.FATAL,
    ]
    assert len(frozenset().union(*kinds)) == sum(map(len, kinds))
