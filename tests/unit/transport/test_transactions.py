"""What a refused transaction says is missing."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from transport import transactions
from transport.errors import FatalError, OwnershipLost

SOURCE = TopicPartition("digits.requests", 3)


def unexpected(cause: Exception) -> KafkaError:
    """Make what the client raises for an error that it does not name itself."""
    error = KafkaError("Unexpected error in batch delivery")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            TopicAuthorizationFailedError({"digits.predictions"}),
            r"topic digits\.predictions may not be written to \(ACL: Write on the topic\)",
        ),
        (
            unexpected(TopicAuthorizationFailedError()),
            r"topic digits\.requests may not be read \(ACL: Read on the topic\)",
        ),
    ],
    ids=["results", "offset"],
)
def test_a_right_that_is_missing_is_named_with_its_topic(error: Exception, sentence: str) -> None:
    refused = pytest.raises(FatalError, match=rf"^cannot commit for digits\.requests/3: {sentence}$")
    with refused, transactions._translated(SOURCE, "commit"):
        raise error


def test_errors_that_a_new_producer_may_fix_are_lost_and_not_fatal() -> None:
    lost = pytest.raises(OwnershipLost, match=r"^could not commit for digits\.requests/3: TimeoutError$")
    with lost, transactions._translated(SOURCE, "commit"):
        raise TimeoutError
