"""From a fetched record to a worker's task: what is echoed, what is refused, what it counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from consumer.partitions.requests import (
    HEADER_OVERHEAD_BYTES,
    RECORD_OVERHEAD_BYTES,
    Request,
    chunks,
    from_record,
    from_unreadable,
)
from consumer.settings import EchoSettings, PacingSettings
from consumer.workers.protocol import WHOLE_RECORD
from engine.limits import Limits
from transport.record_batch import Unreadable

LIMITS = EchoSettings(key_bytes=16, header_bytes=8)
NAME = Limits(name_characters=8)
WIDE = EchoSettings()


def record(
    value: bytes | None = b"image", *, key: bytes | None = None, headers: Sequence[tuple[str, bytes | None]] = ()
) -> ConsumerRecord:
    return ConsumerRecord("requests", 3, 7, 1_000, 0, key, value, None, -1, -1, tuple(headers))


def verdict(request: Request) -> str | None:
    return request.task.quarantined.get(WHOLE_RECORD)


def test_place_and_bytes_go_to_the_worker() -> None:
    task = from_record(record(), LIMITS, NAME).task
    assert (task.topic, task.partition, task.offset, task.timestamp_ms) == ("requests", 3, 7, 1_000)
    assert task.payload == b"image"
    assert task.quarantined == {}


def test_of_the_headers_three_are_echoed_and_all_are_kept() -> None:
    headers = [
        ("traceparent", b"t"),
        ("content-type", b"image/png"),
        ("request-id", b"order-7"),
        ("correlation-id", b"c"),
        ("x-own", None),
    ]
    request = from_record(record(key=b"k", headers=headers), LIMITS, NAME)
    assert request.echo == [("request-id", b"order-7"), ("correlation-id", b"c"), ("traceparent", b"t")]
    assert request.headers == headers
    assert request.echo_key == request.key == b"k"
    assert request.task.request_id == "order-7"


def test_where_a_name_occurs_twice_the_last_one_counts() -> None:
    request = from_record(record(headers=[("request-id", b"first"), ("request-id", b"last")]), LIMITS, NAME)
    assert request.task.request_id == "last"
    assert request.echo == [("request-id", b"last")]


@pytest.mark.parametrize("value", [None, b""])
def test_a_header_without_a_value_is_as_good_as_none(value: bytes | None) -> None:
    task = from_record(record(headers=[("request-id", value), ("filename", value)]), LIMITS, NAME).task
    assert task.request_id is None
    assert task.filename is None


def test_a_name_that_is_not_utf8_is_read_as_far_as_it_goes_and_echoed_as_it_came() -> None:
    request = from_record(record(headers=[("request-id", b"\xffx"), ("filename", b"\xffy")]), LIMITS, NAME)
    assert request.task.request_id == "\N{REPLACEMENT CHARACTER}x"
    assert request.task.filename == "\N{REPLACEMENT CHARACTER}y"
    assert request.echo == [("request-id", b"\xffx")]


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_bytes_is_refused(value: bytes | None) -> None:
    request = from_record(record(value, key=b"k", headers=[("request-id", b"7")]), LIMITS, NAME)
    assert verdict(request) == "empty-record"
    assert request.task.payload == b""
    assert (request.echo_key, request.echo) == (b"k", [("request-id", b"7")])


def test_a_key_at_the_limit_is_echoed_and_one_above_it_is_not() -> None:
    assert verdict(from_record(record(key=b"k" * 16), LIMITS, NAME)) is None
    request = from_record(record(key=b"k" * 17, headers=[("request-id", b"7"), ("filename", b"f")]), LIMITS, NAME)
    assert verdict(request) == "key-too-large"
    assert (request.echo_key, request.echo, request.task.filename) == (None, [], None)
    assert request.key == b"k" * 17, "the dead letter has the original key"


@pytest.mark.parametrize("name", ["request-id", "correlation-id", "traceparent", "filename"])
def test_a_header_that_would_come_back_is_refused_above_the_limit(name: str) -> None:
    assert verdict(from_record(record(headers=[(name, b"x" * 8)]), LIMITS, NAME)) is None
    request = from_record(record(key=b"k", headers=[(name, b"x" * 9)]), LIMITS, NAME)
    assert verdict(request) == "header-too-large"
    assert (request.echo_key, request.echo, request.task.request_id) == (None, [], None)
    assert request.headers == [(name, b"x" * 9)]


def test_a_header_that_does_not_come_back_may_have_any_size() -> None:
    assert verdict(from_record(record(headers=[("x-own", b"x" * 1_000)]), LIMITS, NAME)) is None


def test_a_refused_record_counts_all_of_its_bytes_while_it_is_in_flight() -> None:
    request = from_record(record(b"v" * 5_000, key=b"k" * 100, headers=[("name", b"x" * 10)]), LIMITS, NAME)
    assert verdict(request) == "key-too-large"
    assert request.size_bytes == 5_000 + 100 + 4 + 10 + HEADER_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES


def test_of_too_many_headers_none_is_kept_and_nothing_comes_back() -> None:
    headers = [("request-id", b"order-7"), ("filename", b"7.png")]
    limits = EchoSettings(headers=1)
    request = from_record(record(key=b"k", headers=headers), limits, NAME)
    assert verdict(request) == "too-many-headers"
    assert (request.headers, request.headers_left_out, request.key) == ([], True, b"k")
    assert (request.echo_key, request.echo, request.task.request_id, request.task.filename) == (None, [], None, None)
    assert verdict(from_record(record(headers=headers[:1]), limits, NAME)) is None


def test_a_replay_may_have_its_own_headers_beside_as_many_as_the_first_time() -> None:
    limits = EchoSettings(headers=2)
    own = [("x-a", b"1"), ("x-b", b"2")]
    replayed = [*own, ("filename", b"7.png"), ("request-id", b"7"), ("replay-of", b"t/0/0/0"), ("attempt", b"2")]
    assert verdict(from_record(record(headers=own), limits, NAME)) is None
    assert verdict(from_record(record(headers=replayed), limits, NAME)) is None
    assert verdict(from_record(record(headers=[*replayed, ("x-c", b"3")]), limits, NAME)) == "too-many-headers"


def test_a_record_that_is_too_large_does_not_go_to_a_worker() -> None:
    limits = Limits(record_bytes=1_000)
    assert from_record(record(bytes(1_000)), WIDE, limits).task.payload == bytes(1_000)
    request = from_record(record(bytes(1_001), key=b"k"), WIDE, limits)
    assert (verdict(request), request.task.payload, request.value) == ("record-too-large", b"", bytes(1_001))
    assert request.echo_key == b"k"


def test_of_an_unreadable_record_nothing_is_known_but_its_place() -> None:
    request = from_unreadable(Unreadable(TopicPartition("requests", 3), 7, "why"))
    assert verdict(request) == "unreadable-record"
    assert (request.task.topic, request.task.partition, request.task.offset) == ("requests", 3, 7)
    assert (request.key, request.value, request.headers, request.echo) == (None, None, [], [])


def test_a_file_name_of_too_many_characters_is_not_echoed_and_the_rest_is() -> None:
    fits = from_record(record(headers=[("filename", "ü.pngpng".encode())]), WIDE, NAME)
    assert (verdict(fits), fits.task.filename) == (None, "ü.pngpng")
    long = from_record(record(key=b"k", headers=[("filename", b"ninechars")]), WIDE, NAME)
    assert (verdict(long), long.task.filename, long.echo_key) == ("name-too-long", None, b"k")


def test_a_worker_knows_how_many_bytes_each_result_echoes() -> None:
    request = from_record(record(key=b"k" * 10, headers=[("request-id", b"7"), ("x", b"y")]), LIMITS, NAME)
    assert request.task.echo_bytes == 10 + len("request-id") + 1


def test_what_is_no_single_image_goes_to_a_worker_alone() -> None:
    image, archive, none = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", None
    values = [image, image, archive, archive, image, b"MZ and an archive", image, none, image]
    portions = chunks([record(value) for value in values], PacingSettings(), LIMITS, NAME)
    assert [[request.value for request in portion] for portion in portions] == [
        [image, image],
        [archive],
        [archive],
        [image],
        [b"MZ and an archive"],
        [image, none, image],
    ]
