"""A request in one fixed version is refused before it is sent, and error codes are read from all answers alike."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion

from transport.protocol.offsets import Member, commit_offsets
from transport.protocol.produce import produce
from transport.protocol.requests import codes_of
from transport.protocol.transactions import Producer, add_partitions, init_producer_id

PRODUCER = Producer("group.0", 7_000_000_001, 12)
MEMBER = Member("group", 3, "member-1")
A0, A1 = TopicPartition("a", 0), TopicPartition("a", 1)


@pytest.mark.parametrize("understood", [{}, {22: (0, 3)}, {22: (5, 9)}])
def test_a_broker_that_does_not_understand_a_version_is_named_with_those_it_has(
    understood: dict[int, tuple[int, int]],
) -> None:
    with pytest.raises(IncompatibleBrokerVersion, match=r"request 22, not version 4"):
        init_producer_id("group.0", 1).prepare(understood)


def test_error_codes_are_read_by_partition_from_each_kind_of_answer() -> None:
    produced = produce("id", {}, 1, version_2=True).struct.RESPONSE_TYPE.decode(
        BytesIO(
            bytes.fromhex(
                "02 02 61 03"  # topic a, two partitions
                "00000000 0000 000000000000002a ffffffffffffffff 0000000000000000 01 00 00"
                "00000001 0013 ffffffffffffffff ffffffffffffffff ffffffffffffffff"
                "02 00000000 02 78 00 05 66657721 00"  # one record with an error x, and the sentence: few!
                "00 00000000 00"
            )
        )
    )
    assert codes_of(produced) == {A0: 0, A1: 19}
    offsets = bytes.fromhex("00000000 02 02 61 03 00000000 0016 00 00000001 0000 00 00 00")
    for request in (
        commit_offsets(PRODUCER, MEMBER, {}, version_2=True),
        commit_offsets(PRODUCER, MEMBER, {}, version_2=False),
        add_partitions(PRODUCER, []),
    ):
        assert codes_of(request.struct.RESPONSE_TYPE.decode(BytesIO(offsets))) == {A0: 22, A1: 0}
    assert codes_of(SimpleNamespace(topics=[])) == {}
