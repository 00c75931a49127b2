"""The bytes of each request are those of the protocol guide, read by a reader of this file's own."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion

from transport.sink.requests import (
    Member,
    Prepared,
    Producer,
    add_offsets,
    add_partitions,
    api_versions,
    codes_of,
    commit_offsets,
    describe_transactions,
    end_transaction,
    fetch_offsets,
    init_producer_id,
    produce,
    transaction_version,
)

PRODUCER = Producer("group.0", 7_000_000_001, 12)
MEMBER = Member("group", 3, "member-1")
A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
LONG = bytes(range(256)) * 2
EVERY_VERSION = dict.fromkeys(range(100), (0, 99))


class Reader:
    """Reads what flexible versions are made of (KIP-482)."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)

    def take(self, layout: str) -> Any:
        (value,) = struct.unpack(f">{layout}", self._data.read(struct.calcsize(f">{layout}")))
        return value

    def length(self) -> int:
        """Read a length in groups of seven bits, the lowest first; it is stored plus one, and 0 is none."""
        value = shift = 0
        while True:
            byte = int(self.take("B"))
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 1

    def data(self) -> bytes | None:
        length = self.length()
        return None if length < 0 else self._data.read(length)

    def text(self) -> str | None:
        data = self.data()
        return None if data is None else data.decode()

    def array(self, read: Callable[[], Any]) -> list[Any]:
        return [read() for _ in range(self.length())]

    def struct(self, *reads: Callable[[], Any]) -> tuple[Any, ...]:
        values = tuple(read() for read in reads)
        assert self.take("B") == 0, "it ends in tagged fields"
        return values

    def int16(self) -> int:
        return int(self.take("h"))

    def int32(self) -> int:
        return int(self.take("i"))

    def int64(self) -> int:
        return int(self.take("q"))

    def boolean(self) -> bool:
        return bool(self.take("?"))

    def end(self) -> None:
        assert self._data.read() == b""


def opened(request: Prepared, key: int, version: int) -> Reader:
    """Check the header of a request, and return a reader of its body."""
    struct_ = request.prepare(EVERY_VERSION)
    head = struct_.build_request_header(correlation_id=5, client_id="c")
    assert head.encode() == struct.pack(">hhihsB", key, version, 5, 1, b"c", 0)  # header version 2 ends in no tags
    return Reader(struct_.encode())


def test_a_request_for_an_epoch_names_id_and_timeout_and_no_epoch_of_before() -> None:
    body = opened(init_producer_id("group.0", 60_000), 22, 4)
    assert body.struct(body.text, body.int32, body.int64, body.int16) == ("group.0", 60_000, -1, -1)
    body.end()


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


@pytest.mark.parametrize(("version_2", "version"), [(True, 5), (False, 3)])
@pytest.mark.parametrize("commit", [True, False])
def test_the_end_of_a_transaction_names_its_epoch(version_2: bool, version: int, commit: bool) -> None:  # noqa: FBT001
    body = opened(end_transaction(PRODUCER, commit=commit, version_2=version_2), 26, version)
    assert body.struct(body.text, body.int64, body.int16, body.boolean) == (*PRODUCER, commit)
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


@pytest.mark.parametrize("stable", [True, False])
def test_a_request_for_offsets_says_whether_they_must_be_stable(stable: bool) -> None:  # noqa: FBT001
    body = opened(fetch_offsets("group", [A0, A1], stable=stable), 9, 7)

    def topic() -> tuple[Any, ...]:
        return body.struct(body.text, lambda: body.array(body.int32))

    assert body.struct(body.text, lambda: body.array(topic), body.boolean) == ("group", [("a", [0, 1])], stable)
    body.end()


def test_a_request_for_the_state_of_transactions_names_their_ids() -> None:
    body = opened(describe_transactions(["one", "two"]), 65, 0)
    assert body.struct(lambda: body.array(body.text)) == (["one", "two"],)
    body.end()


def test_a_request_for_versions_names_the_program() -> None:
    body = opened(api_versions(), 18, 3)
    assert body.struct(body.text, body.text) == ("digitstream", "1")
    body.end()


@pytest.mark.parametrize("understood", [{}, {22: (0, 3)}, {22: (5, 9)}])
def test_a_broker_that_does_not_understand_a_version_is_named_with_those_it_has(
    understood: dict[int, tuple[int, int]],
) -> None:
    with pytest.raises(IncompatibleBrokerVersion, match=r"request 22, not version 4"):
        init_producer_id("group.0", 1).prepare(understood)


def test_the_answer_about_versions_has_an_old_header_and_the_others_a_flexible_one() -> None:
    flexible = bytes.fromhex("00000005 00")
    for request, header in ((api_versions(), flexible[:4]), (init_producer_id("id", 1), flexible)):
        read = BytesIO(header + b"rest")
        assert request.struct.parse_response_header(read).correlation_id == 5
        assert read.read() == b"rest"


def versions_answer(tags: bytes) -> Any:
    kind = api_versions().struct.RESPONSE_TYPE
    return kind.decode(BytesIO(bytes.fromhex("0000 02 0016 0000 0006 00 00000000") + tags))


FEATURES = "02 {:02x} 03 0a 67726f75702e6f6e65 0001 0000 00 14 7472616e73616374696f6e2e76657273696f6e {:04x} 0000 00"


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_the_version_of_transactions_is_read_among_the_finalized_features(version: int) -> None:
    features = bytes.fromhex(FEATURES.format(41, version))
    # One feature that is supported (tag 0), the epoch of the features (1), and what is finalized (2).
    answer = versions_answer(bytes.fromhex("03 00 01 01 01 08 0000000000000007") + features)
    assert transaction_version(answer) == version


@pytest.mark.parametrize("tags", [b"\0", bytes.fromhex("01 02 01 01"), bytes.fromhex("01 02 01 00")])
def test_a_broker_that_says_nothing_of_transactions_has_version_0(tags: bytes) -> None:
    assert transaction_version(versions_answer(tags)) == 0


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


def test_the_end_of_a_transaction_of_version_2_gives_the_epoch_of_the_next() -> None:
    kind = end_transaction(PRODUCER, commit=True, version_2=True).struct.RESPONSE_TYPE
    answer = kind.decode(BytesIO(bytes.fromhex("00000000 0000 00000001a13b8601 000d 00")))
    assert (answer.error_code, answer.producer_id, answer.epoch) == (0, 7_000_000_001, 13)
