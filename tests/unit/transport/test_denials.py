"""The right that an error of the client says is missing."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from transport.denials import denial

PARTITION = TopicPartition("requests", 0)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TopicAuthorizationFailedError("requests"), "topic requests may not be read (ACL: Read on the topic)"),
        (TopicAuthorizationFailedError({"b", "a"}), "topic a, b may not be read (ACL: Read on the topic)"),
        (GroupAuthorizationFailedError("group"), "group group may not be joined (ACL: Read on the group)"),
        (GroupAuthorizationFailedError(), "group ? may not be joined (ACL: Read on the group)"),
    ],
    ids=["a topic", "several topics", "a group", "no name"],
)
def test_a_missing_right_is_named(error: KafkaError, sentence: str) -> None:
    assert denial(error, topic_right="Read") == sentence


@pytest.mark.parametrize(
    "error",
    [OffsetOutOfRangeError({PARTITION: 3}), NoOffsetForPartitionError(PARTITION), KafkaError(), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_kind_is_no_denial_whatever_it_carries(error: BaseException) -> None:
    assert denial(error) is None
