"""The requests that begin and end a transaction have the bytes of the protocol guide."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.harness.request_bytes import opened
from transport.protocol.transactions import Producer, add_offsets, add_partitions, end_transaction, init_producer_id

PRODUCER = Producer("group.0", 7_000_000_001, 12)
A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


def test_a_request_for_an_epoch_names_id_and_timeout_and_no_epoch_of_before() -> None:
    body = opened(init_producer_id("group.0", 60_000), 22, 4)
    assert body.struct(body.text, body.int32, body.int64, body.int16) == ("group.0", 60_000, -1, -1)
    body.end()


def test_partitions_and_offsets_are_added_to_a_transaction_of_version_1() -> None:
    body = opened(add_partitions(PRODUCER, [A0, B0, A1]), 24, 3)

    def topic() -> tuple[Any, ...]:
        return body.struct(body.text, lambda: body.array(body.int32))

    read = body.struct(body.text, body.int64, body.int16, lambda: body.array(topic))
    assert read == (*PRODUCER, [("a", [0, 1]), ("b", [0])])
    body.end()
    body = opened(add_offsets(PRODUCER, "group"), 25, 3)
    assert body.struct(body.text, body.int64, body.int16, body.text) == (*PRODUCER, "group")
    body.end()


@pytest.mark.parametrize(("version_2", "version"), [(True, 5), (False, 3)])
@pytest.mark.parametrize("commit", [True, False])
def test_the_end_of_a_transaction_names_its_epoch(version_2: bool, version: int, commit: bool) -> None:  # noqa: FBT001
    body = opened(end_transaction(PRODUCER, commit=commit, version_2=version_2), 26, version)
    assert body.struct(body.text, body.int64, body.int16, body.boolean) == (*PRODUCER, commit)
    body.end()


def test_the_end_of_a_transaction_of_version_2_gives_the_epoch_of_the_next() -> None:
    kind = end_transaction(PRODUCER, commit=True, version_2=True).struct.RESPONSE_TYPE
    answer = kind.decode(BytesIO(bytes.fromhex("00000000 0000 00000001a13b8601 000d 00")))
    assert (answer.error_code, answer.producer_id, answer.epoch) == (0, 7_000_000_001, 13)
