"""The request that appends batches has the bytes of the protocol guide."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.harness.request_bytes import opened
from transport.protocol.produce import produce

A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
LONG = bytes(range(256)) * 2


@pytest.mark.parametrize(("version_2", "version"), [(True, 12), (False, 9)])
def test_produce_has_one_batch_a_partition_grouped_by_topic(version_2: bool, version: int) -> None:  # noqa: FBT001
    batches: dict[TopicPartition, bytes | bytearray] = {A0: bytearray(b"first"), B0: b"second", A1: LONG}
    body = opened(produce("group.0", batches, 2_500, version_2=version_2), 0, version)

    def partition() -> tuple[Any, ...]:
        return body.struct(body.int32, body.data)

    def topic() -> tuple[Any, ...]:
        return body.struct(body.text, lambda: body.array(partition))

    expected = ("group.0", -1, 2_500, [("a", [(0, b"first"), (1, LONG)]), ("b", [(0, b"second")])])
    assert body.struct(body.text, body.int16, body.int32, lambda: body.array(topic)) == expected
    body.end()
