"""Requests become records, and results become answers."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from aiokafka import TopicPartition

from contract import headers
from producer.web.gateway.interface import NewRequest, Position
from producer.web.gateway.records import read_answer, sendable, wire_id_of
from tests.harness.gateway_records import made_record, made_result, wire_id
from transport.record_batch import Unreadable


def test_the_record_of_a_request_has_its_headers_and_no_empty_ones() -> None:
    request = NewRequest("one", "anna", b"image", filename="sieben-\N{SNOWMAN}.png", traceparent="00-a-b-01")
    sent = sendable(request, wire_id(), 3, 5)
    assert dict(sent.headers) == {
        headers.REQUEST_ID: str(wire_id()).encode(),
        headers.FILENAME: "sieben-\N{SNOWMAN}.png".encode(),
        headers.TRACEPARENT: b"00-a-b-01",
    }
    assert (sent.payload, sent.partition, sent.timestamp_ms) == (b"image", 3, 5)


def test_an_answer_has_the_id_that_the_client_knows() -> None:
    answer = read_answer(made_result(str(wire_id("one")), index=1, count=2), wire_id("one"))
    assert answer is not None
    assert (answer.index, answer.count, answer.request, answer.record) == (1, 2, Position(3, 17), Position(3, 100))
    assert answer.result["request_id"] == "one"


@pytest.mark.parametrize("key", ["one", 'quote"back\\slash'])
@pytest.mark.parametrize("written", [msgspec.json.encode, lambda result: json.dumps(result).encode()])
def test_only_the_id_of_a_result_is_changed(key: str, written: Callable[[object], bytes]) -> None:
    published = json.loads(made_result(str(wire_id(key))).value)
    published["filename"] = f'"request_id":"{wire_id(key)}"'
    answer = read_answer(made_record(written(published)), wire_id(key))
    assert answer is not None
    assert answer.result == published | {"request_id": key}


def test_the_last_header_counts_as_in_the_contract() -> None:
    first, last = str(wire_id("first")).encode(), str(wire_id("last")).encode()
    record = made_record(b"", None, (headers.REQUEST_ID, first), (headers.REQUEST_ID, last))
    assert wire_id_of(record) == wire_id("last")


def test_results_of_others_and_records_that_are_no_results_are_passed_over() -> None:
    assert wire_id_of(made_result("order-7")) is None
    assert wire_id_of(made_record(b"{}")) is None
    assert wire_id_of(Unreadable(TopicPartition("topic", 3), 100, "its header is not UTF-8")) is None
    for value in (None, b"", b"\xff", b"[]", b'{"item": {"index": "0"}}'):
        assert read_answer(made_record(value), wire_id()) is None


def test_the_record_of_a_request_asks_for_what_the_model_saw_only_if_the_client_does() -> None:
    asked, plain = (
        sendable(NewRequest("one", "anna", b"image", seen=seen), wire_id(), 3, 5).headers for seen in (True, False)
    )
    assert asked == [*plain, ("seen", b"true")]
