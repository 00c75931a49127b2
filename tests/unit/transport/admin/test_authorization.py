"""Which rights the broker's answers say are missing."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    NoError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest

from transport.admin.authorization import check_describe_rights, check_rights, results_read_denial
from transport.denials import denial
from transport.errors import FatalError
from transport.settings.kafka import GroupSettings

SETTINGS = GroupSettings()
TOPICS = SETTINGS.topics


class Admin:
    """Answers each step of a transaction with error codes by topic, and metadata with a code for each topic."""

    def __init__(self, writing: dict[str, int], reading: int, metadata: Sequence[tuple[int, str]] = ()) -> None:
        self._writing, self._reading, self._metadata = writing, reading, metadata

    async def _send_request(self, request: Any, node: int | None) -> Any:
        assert node is None
        if isinstance(request, AddPartitionsToTxnRequest):
            return SimpleNamespace(errors=[(topic, [(0, code)]) for topic, code in self._writing.items()])
        if self._metadata:
            return SimpleNamespace(topics=self._metadata)
        return SimpleNamespace(errors=[(TOPICS.requests, [(0, self._reading)])])


def admin(writing: int | dict[str, int] = UnknownTopicOrPartitionError.errno, reading: int = NoError.errno) -> Any:
    if isinstance(writing, int):
        writing = {TOPICS.predictions: writing, TOPICS.dead_letter: writing}
    return Admin(writing, reading)


async def test_an_unknown_partition_means_that_the_step_is_allowed() -> None:
    await check_rights(admin(reading=UnknownTopicOrPartitionError.errno), SETTINGS)


async def test_every_missing_right_is_named_once() -> None:
    denied = admin(
        {TOPICS.predictions: NoError.errno, TOPICS.dead_letter: TopicAuthorizationFailedError.errno},
        GroupAuthorizationFailedError.errno,
    )
    sentences = (
        rf"topic {TOPICS.dead_letter} may not be written to \(ACL: Write on the topic\); "
        rf"group {SETTINGS.kafka.group_id} may not be joined \(ACL: Read on the group\)"
    )
    with pytest.raises(FatalError, match=f"^{sentences}$"):
        await check_rights(denied, SETTINGS)


async def test_a_denied_transactional_id_is_named_once_for_all_topics() -> None:
    with pytest.raises(FatalError) as refused:
        await check_rights(admin(TransactionalIdAuthorizationFailed.errno), SETTINGS)
    assert str(refused.value).count("transactional id") == 1


async def test_a_hidden_topic_and_a_missing_one_are_distinguished() -> None:
    hidden = [
        (TopicAuthorizationFailedError.errno, TOPICS.requests),
        (UnknownTopicOrPartitionError.errno, TOPICS.predictions),
    ]
    client: Any = Admin({}, 0, hidden)
    with pytest.raises(FatalError, match=rf"^topic {TOPICS.requests} may not be read \(ACL: Read on the topic\)$"):
        await check_describe_rights(client, SETTINGS, [topic for _, topic in hidden])


@pytest.mark.parametrize(("code", "denied"), [(NoError.errno, False), (TopicAuthorizationFailedError.errno, True)])
async def test_results_that_may_not_be_read_are_named(code: int, denied: bool) -> None:  # noqa: FBT001  # a parameter
    assert (await results_read_denial(admin(reading=code), SETTINGS) is not None) is denied


def test_another_error_is_no_denial() -> None:
    assert denial(KafkaError("broken")) is None
