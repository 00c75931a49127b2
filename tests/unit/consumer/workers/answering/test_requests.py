"""From a scanned record to a request: what is echoed, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from consumer.settings import EchoSettings
from consumer.workers.answering.request_headers import REMEMBERED_BYTES, HeaderReader
from consumer.workers.answering.requests import Request, RequestReader
from consumer.workers.batches.scanning import scan
from contract.traceparent import TraceParent
from engine.limits import Limits
from tests.harness.raw_batches import UNREADABLE, Raw
from tests.harness.tasks import rules, task
from transport.batches.building import NO_HEADERS, header_block

LIMITS = EchoSettings(key_bytes=16, header_bytes=8)
NAME = Limits(name_characters=8)
WIDE = EchoSettings()


def request(
    value: bytes | None = b"image",
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    echo: EchoSettings = LIMITS,
    limits: Limits = NAME,
) -> Request:
    of = task(Raw(value, key, headers), offset=7)
    (block,) = scan(of.batches[0], limit_bytes=1)
    (row,) = block.rows()
    return RequestReader(0, of, rules(limits, echo), limits).request(block, row)


def test_place_and_bytes_are_those_of_the_record() -> None:
    found = request()
    assert (found.offset, found.timestamp_ms, bytes(found.value), found.refusal) == (7, 1_000, b"image", None)
    assert found.request_id == "requests/3/7"


def test_of_the_headers_three_are_echoed_and_all_are_kept() -> None:
    headers = [
        ("traceparent", b"t"),
        ("content-type", b"image/png"),
        ("request-id", b"order-7"),
        ("correlation-id", b"c"),
        ("x-own", None),
    ]
    found = request(key=b"k", headers=headers, echo=WIDE)
    assert found.echo == header_block([("request-id", b"order-7"), ("correlation-id", b"c"), ("traceparent", b"t")])
    assert list(found.headers) == headers
    assert found.echo_key == found.key == b"k"
    assert (found.request_id, found.trace) == ("order-7", None)
    assert found.echo_bytes == len(b"k" + found.echo)


def test_the_trace_of_the_sender_is_known() -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert request(headers=[("traceparent", parent)], echo=WIDE).trace == TraceParent.parse(parent)


def test_where_a_name_occurs_twice_the_last_one_counts() -> None:
    found = request(headers=[("request-id", b"first"), ("request-id", b"last")])
    assert (found.request_id, found.echo) == ("last", header_block([("request-id", b"last")]))


@pytest.mark.parametrize("name", ["request-id", "filename"])
def test_a_name_whose_last_value_is_null_counts_as_left_out(name: str) -> None:
    found = request(headers=[(name, b"first"), (name, None)])
    assert (found.request_id, found.filename, found.echo) == ("requests/3/7", None, NO_HEADERS)


@pytest.mark.parametrize(("value_bytes", "is_kept"), [(10, True), (REMEMBERED_BYTES, False)])
def test_only_small_headers_are_kept_for_the_next_record(value_bytes: int, *, is_kept: bool) -> None:
    data = header_block([("x-own", bytes(value_bytes))])[1:]  # without their number
    reader, before = HeaderReader(rules(NAME, WIDE), NAME), sys.getrefcount(data)
    reader.read(data, 1)
    assert (sys.getrefcount(data) > before) is is_kept


def test_the_headers_of_one_record_are_not_taken_for_those_of_another() -> None:
    sent: list[list[tuple[str, bytes | None]]] = [
        [("request-id", b"a"), ("filename", b"1")],
        [("request-id", b"b"), ("filename", b"1")],
        [("request-id", b"b"), ("filename", b"1")],
        [],
        [("filename", b"1")],
        [("request-id", b"b"), ("filename", b"1"), ("x", None)],
        [("request-id", b"b"), ("filename", b"x" * 9)],
        [("request-id", b"b"), ("filename", b"1")],
    ]
    of = task(*[Raw(b"image", headers=headers) for headers in sent], compacted=True)
    (block,) = scan(of.batches[0], limit_bytes=1)
    reader = RequestReader(0, of, rules(NAME, LIMITS), NAME)
    found = [reader.request(block, row) for row in block.rows()]
    assert [list(each.headers) for each in found] == sent
    assert [each.request_id for each in found] == [
        *("a", "b", "b", "requests/3/3", "requests/3/4", "b", "requests/3/6", "b")
    ]
    assert [each.filename for each in found] == ["1", "1", "1", None, "1", "1", None, "1"]
    assert [each.refusal for each in found] == [None] * 6 + ["header-too-large", None]


@pytest.mark.parametrize("value", [None, b""])
def test_a_header_without_a_value_is_as_good_as_none(value: bytes | None) -> None:
    found = request(headers=[("request-id", value), ("filename", value)])
    assert (found.request_id, found.filename) == ("requests/3/7", None)


def test_a_name_that_is_not_utf8_is_read_as_far_as_it_goes_and_echoed_as_it_came() -> None:
    found = request(headers=[("request-id", b"\xffx"), ("filename", b"\xffy")])
    assert found.request_id == "\N{REPLACEMENT CHARACTER}x"
    assert found.filename == "\N{REPLACEMENT CHARACTER}y"
    assert found.echo == header_block([("request-id", b"\xffx")])


@pytest.mark.parametrize("value", [None, b""])
@pytest.mark.parametrize("headers", [[], [("request-id", b"7")]])
def test_a_record_without_bytes_is_refused(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    found = request(value, key=b"k", headers=headers)
    assert (found.refusal, bytes(found.value)) == ("empty-record", b"")
    assert (found.echo_key, found.echo) == (b"k", header_block(headers))


def test_a_key_at_the_limit_is_echoed_and_one_above_it_is_not() -> None:
    assert request(key=b"k" * 16).refusal is None
    for headers in ([("request-id", b"7"), ("filename", b"f")], []):
        found = request(key=b"k" * 17, headers=headers)
        assert found.refusal == "key-too-large"
        assert (found.echo_key, found.echo, found.filename) == (None, NO_HEADERS, None)
        assert found.key == b"k" * 17, "the dead letter has the original key"
        assert found.request_id == "requests/3/7"


@pytest.mark.parametrize("name", ["request-id", "correlation-id", "traceparent", "filename"])
def test_a_header_that_would_come_back_is_refused_above_the_limit(name: str) -> None:
    assert request(headers=[(name, b"x" * 8)]).refusal is None
    found = request(key=b"k", headers=[(name, b"x" * 9)])
    assert found.refusal == "header-too-large"
    assert (found.echo_key, found.echo, found.request_id) == (None, NO_HEADERS, "requests/3/7")
    assert found.headers == ((name, b"x" * 9),)


def test_a_header_that_does_not_come_back_may_have_any_size() -> None:
    assert request(headers=[("x-own", b"x" * 1_000)]).refusal is None


def test_of_too_many_headers_none_is_kept_and_nothing_comes_back() -> None:
    headers = [("request-id", b"order-7"), ("filename", b"7.png")]
    limits = EchoSettings(headers=1)
    found = request(key=b"k", headers=headers, echo=limits)
    assert found.refusal == "too-many-headers"
    assert (found.headers, found.headers_left_out, found.key) == ((), True, b"k")
    assert (found.echo_key, found.echo, found.request_id, found.filename) == (None, NO_HEADERS, "requests/3/7", None)
    assert request(headers=headers[:1], echo=limits).refusal is None


def test_a_replay_may_have_its_own_headers_beside_as_many_as_the_first_time() -> None:
    limits = EchoSettings(headers=2)
    own = [("x-a", b"1"), ("x-b", b"2")]
    replayed = [*own, ("filename", b"7.png"), ("request-id", b"7"), ("replay-of", b"t/0/0/0"), ("attempt", b"2")]
    assert request(headers=own, echo=limits).refusal is None
    assert request(headers=replayed, echo=limits).refusal is None
    assert request(headers=[*replayed, ("x-c", b"3")], echo=limits).refusal == "too-many-headers"


def test_a_record_that_is_too_large_is_refused() -> None:
    limits = Limits(record_bytes=1_000)
    assert request(bytes(1_000), echo=WIDE, limits=limits).refusal is None
    found = request(bytes(1_001), key=b"k", echo=WIDE, limits=limits)
    assert (found.refusal, bytes(found.value), found.echo_key) == ("record-too-large", bytes(1_001), b"k")


def test_of_an_unreadable_record_nothing_is_known_but_its_place() -> None:
    found = request(key=b"k", headers=[(UNREADABLE, b"")])
    assert (found.refusal, found.offset, found.timestamp_ms) == ("unreadable-record", 7, 2_000)
    assert (found.key, bytes(found.value), found.headers, found.echo) == (None, b"", (), NO_HEADERS)
    assert found.unread.startswith("'utf-8' codec can't decode")


def test_a_file_name_of_too_many_characters_is_not_echoed_and_the_rest_is() -> None:
    fits = request(headers=[("filename", "ü.pngpng".encode())], echo=WIDE)
    assert (fits.refusal, fits.filename) == (None, "ü.pngpng")
    long = request(key=b"k", headers=[("filename", b"ninechars")], echo=WIDE)
    assert (long.refusal, long.filename, long.echo_key) == ("name-too-long", None, b"k")


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ([b"true"], True),
        ([b"no", b"true"], True),
        ([b"true", b"no"], False),
        ([b"true", None], False),
        ([], False),
        *(([value], False) for value in (None, b"", b"True", b"1", b" true", b"true\0", b"\xff", b"x" * 2_000)),
    ],
)
def test_only_the_value_true_asks_for_what_the_model_saw(values: list[bytes | None], *, asked: bool) -> None:
    found = request(headers=[("seen", value) for value in values])
    assert (found.wants_seen, found.refusal, found.echo) == (asked, None, NO_HEADERS)
