"""The requests about offsets have the bytes of the protocol guide."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.harness.request_bytes import opened
from transport.protocol.offsets import Member, commit_offsets, fetch_offsets
from transport.protocol.transactions import Producer

PRODUCER = Producer("group.0", 7_000_000_001, 12)
MEMBER = Member("group", 3, "member-1")
A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


@pytest.mark.parametrize(("version_2", "version"), [(True, 5), (False, 3)])
@pytest.mark.parametrize("instance", [None, "pod-0"])
def test_offsets_are_committed_as_a_member_of_a_generation(
    version_2: bool,  # noqa: FBT001
    version: int,
    instance: str | None,
) -> None:
    member = MEMBER._replace(instance_id=instance)
    request = commit_offsets(PRODUCER, member, {A0: 5, B0: 2**40}, version_2=version_2)
    body = opened(request, 28, version)

    def partition() -> tuple[Any, ...]:
        return body.struct(body.int32, body.int64, body.int32, body.text)

    def topic() -> tuple[Any, ...]:
        return body.struct(body.text, lambda: body.array(partition))

    read = body.struct(
        *(body.text, body.text, body.int64, body.int16, body.int32, body.text, body.text, lambda: body.array(topic))
    )
    assert read == (
        *("group.0", "group", 7_000_000_001, 12, 3, "member-1", instance),
        [("a", [(0, 5, -1, "")]), ("b", [(0, 2**40, -1, "")])],
    )
    body.end()


@pytest.mark.parametrize("stable", [True, False])
def test_a_request_for_offsets_says_whether_they_must_be_stable(stable: bool) -> None:  # noqa: FBT001
    body = opened(fetch_offsets("group", [A0, A1], stable=stable), 9, 7)

    def topic() -> tuple[Any, ...]:
        return body.struct(body.text, lambda: body.array(body.int32))

    assert body.struct(body.text, lambda: body.array(topic), body.boolean) == ("group", [("a", [0, 1])], stable)
    body.end()
