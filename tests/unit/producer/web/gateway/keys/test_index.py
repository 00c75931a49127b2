"""The index of keys: what it knows, and what it forgets."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from producer.web.gateway.interface import Position
from producer.web.gateway.keys.index import KeyIndex, key_record
from producer.web.gateway.records import Location
from tests.harness.gateway_records import made_record, wire_id
from transport.record_batch import Unreadable

LOCATION = Location(Position(3, 2**40), 1_767_225_600_000)


def key(name: str) -> bytes:
    return str(wire_id(name, once=True)).encode()


def test_a_key_is_known_with_its_place_and_its_bytes() -> None:
    index = KeyIndex(10)
    index.take(made_record(key_record(LOCATION, b"image"), key("one")))
    used = index.get(wire_id("one", once=True))
    assert used is not None
    assert used.location == LOCATION
    assert (used.is_for(b"image"), used.is_for(b"other")) == (True, False)
    assert index.get(wire_id("one", once=True, tenant="bert")) is None


def test_the_first_record_of_a_key_counts() -> None:
    index = KeyIndex(10)
    index.add(key("one"), key_record(LOCATION, b"image"))
    index.add(key("one"), key_record(Location(Position(0, 0), 0), b"forged"))
    used = index.get(wire_id("one", once=True))
    assert used is not None
    assert used.location == LOCATION


def test_the_oldest_keys_are_forgotten_and_counted() -> None:
    index = KeyIndex(3)
    for number in range(5):
        index.add(key(str(number)), key_record(LOCATION, b""))
    known = [number for number in range(5) if index.get(wire_id(str(number), once=True))]
    assert (known, len(index), index.forgotten) == ([2, 3, 4], 3, 2)


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b'{"partition":-3e9,"offset":0,"timestamp_ms":0,"sha256":"00"}', b"\xff"]
)
def test_a_record_that_says_nothing_of_a_key_is_ignored(value: bytes | None) -> None:
    index = KeyIndex(3)
    index.take(made_record(value, key("one")))
    index.take(made_record(key_record(LOCATION, b""), b"order-7"))
    index.take(made_record(key_record(LOCATION, b""), None))
    index.take(Unreadable(TopicPartition("keys", 0), 0, "its batch is malformed"))
    assert len(index) == 0
