"""What is published for an answered request."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord

from consumer.partitions import outgoing
from consumer.partitions.outgoing import DeadLetterLimits
from consumer.partitions.requests import Request, from_record
from consumer.settings import EchoSettings
from consumer.workers.protocol import Answer, FailedItem
from contract import dead_letters
from engine.limits import Limits
from transport.batches.layout import MAX_HEADERS
from transport.sink.batches import OutgoingRecord

LIMIT_BYTES = 1024 * 1024


def request(
    value: bytes | None = b"image", *, key: bytes | None = b"key", headers: Sequence[tuple[str, bytes]] = ()
) -> Request:
    record = ConsumerRecord("requests", 3, 7, 1_000, 0, key, value, None, -1, -1, tuple(headers))
    return from_record(record, EchoSettings(), Limits())


def letter(
    *, index: int = 0, name: str | None = None, data: bytes | None = None, left_out: str | None = None
) -> FailedItem:
    return FailedItem(index, 5, name, "damaged-image", "It is damaged.", name is None, data, left_out)


def published(
    of: Request, *letters: FailedItem, limit_bytes: int = LIMIT_BYTES, all_bytes: int = LIMIT_BYTES
) -> list[OutgoingRecord]:
    return list(
        outgoing.dead_letters(of, Answer([b"{}"], list(letters), 0, 0, 0), DeadLetterLimits(limit_bytes, all_bytes))
    )


def test_every_result_has_the_key_and_the_echoed_headers() -> None:
    headers = [("x-own", b"1"), ("request-id", b"order-7")]
    answer = Answer([b"first", b"second"], [], 2, 0, 0)
    assert list(outgoing.results(request(headers=headers), answer)) == [
        OutgoingRecord(b"key", b"first", [("request-id", b"order-7")]),
        OutgoingRecord(b"key", b"second", [("request-id", b"order-7")]),
    ]


def test_a_dead_letter_is_the_record_with_its_origin_and_reason() -> None:
    headers = [("x-own", b"1"), ("request-id", b"order-7")]
    (record,) = published(request(headers=headers), letter())
    assert (record.key, record.value) == (b"key", b"image")
    read = dead_letters.DeadLetter.read(record.headers)
    assert read.original_headers == tuple(headers)
    assert (read.origin_topic, read.origin_partition, read.origin_offset) == ("requests", 3, 7)
    assert read.origin_timestamp_ms == 1_000
    assert (read.item_index, read.item_count, read.item_name) == (0, 5, None)
    assert (read.result_id, read.request_id) == ("requests/3/7/0", "order-7")
    assert (read.error_code, read.error_message) == ("damaged-image", "It is damaged.")
    assert (read.attempt, read.value_left_out) == (1, None)


def test_the_dead_letter_of_an_entry_has_the_entrys_bytes_and_name() -> None:
    (record,) = published(request(b"an archive"), letter(index=2, name="drei.png", data=b"entry"))
    read = dead_letters.DeadLetter.read(record.headers)
    assert record.value == b"entry"
    assert (read.item_index, read.item_name, read.result_id) == (2, "drei.png", "requests/3/7/2")


def test_a_dead_letter_without_bytes_has_the_reason() -> None:
    (record,) = published(request(), letter(name="bomb.png", left_out="not unpacked: entry-too-large"))
    assert record.value is None
    assert dead_letters.DeadLetter.read(record.headers).value_left_out == "not unpacked: entry-too-large"


@pytest.mark.parametrize("value", [None, b""])
def test_of_a_tombstone_there_are_no_bytes_to_keep(value: bytes | None) -> None:
    (record,) = published(request(value, key=None), letter())
    assert (record.key, record.value) == (None, None)
    assert dead_letters.DeadLetter.read(record.headers).value_left_out


def test_the_original_key_is_kept_also_where_it_was_too_large_to_be_echoed() -> None:
    refused = request(key=b"k" * 5_000)
    (record,) = published(refused, letter())
    assert record.key == b"k" * 5_000
    assert [each.key for each in outgoing.results(refused, Answer([b"{}"], [], 0, 0, 0))] == [None]


def test_bytes_that_do_not_fit_the_topic_are_left_out() -> None:
    (fits,) = published(request(b"x" * 90_000), letter(), limit_bytes=100_000)
    assert fits.value == b"x" * 90_000
    (record,) = published(request(b"x" * 100_000), letter(), limit_bytes=100_000)
    assert (record.key, record.value) == (b"key", None)
    assert dead_letters.DeadLetter.read(record.headers).value_left_out == (
        "100000 bytes do not fit the dead-letter topic"
    )


def test_headers_that_do_not_fit_the_topic_are_left_out_too() -> None:
    (record,) = published(request(headers=[("x-own", b"x" * 100_000)]), letter(), limit_bytes=100_000)
    assert (record.key, record.value) == (None, b"image")
    read = dead_letters.DeadLetter.read(record.headers)
    assert read.original_headers == ()
    assert dict(record.headers)["headers-left-out"] == b"they do not fit the dead-letter topic"


@pytest.mark.parametrize(("header", "attempt"), [(b"3", 3), (b"", 1), (b"0", 1), (b"-2", 1), (b"x" * 5_000, 1)])
def test_the_attempt_is_that_of_a_replay_and_not_whatever_a_sender_writes(header: bytes, attempt: int) -> None:
    (record,) = published(request(headers=[("attempt", header)]), letter())
    assert dead_letters.DeadLetter.read(record.headers).attempt == attempt
    assert int(dict(record.headers)["attempt"]) == attempt


def test_only_the_first_of_many_failed_entries_keep_bytes_and_headers() -> None:
    headers = [("x-own", b"h" * 10_000)]
    letters = [letter(index=index, name=f"{index}.png", data=b"x" * 30_000) for index in range(5)]
    records = published(request(b"archive", headers=headers), *letters, all_bytes=100_000)
    assert [len(record.value or b"") for record in records] == [30_000, 30_000, 0, 0, 0]
    read = [dead_letters.DeadLetter.read(record.headers) for record in records]
    assert [len(each.original_headers) for each in read] == [1, 1, 1, 0, 0]
    assert [each.result_id for each in read] == [f"requests/3/7/{index}" for index in range(5)]
    why = "the dead letters of this record take more than 100000 bytes"
    assert [each.value_left_out for each in read] == [None, None, why, why, why]
    assert [dict(record.headers).get("headers-left-out") for record in records] == [None] * 3 + [why.encode()] * 2


def test_dead_letters_fill_the_available_bytes_exactly() -> None:
    (whole,) = published(request(b"x" * 1_000), letter())
    bare = outgoing.FRAMING_BYTES + outgoing._size_bytes(whole.headers) + len(b"key")
    for room, kept in ((bare + 1_001, 1_000), (bare + 1_000, 1_000), (bare + 999, 0)):
        (record,) = published(request(b"x" * 1_000), letter(), all_bytes=room)
        assert len(record.value or b"") == kept


def test_a_dead_letter_with_the_most_allowed_headers_is_read_back_whole() -> None:
    most = EchoSettings().headers
    assert most == next(each.le for each in EchoSettings.model_fields["headers"].metadata if hasattr(each, "le"))
    headers = [(f"x-{number}", b"") for number in range(most)]
    (record,) = published(request(headers=headers), letter(name="a.png", left_out="too large"))
    assert most < len(record.headers) < MAX_HEADERS
    assert len(dead_letters.DeadLetter.read(record.headers).original_headers) == most


def test_a_dead_letter_with_too_many_headers_leaves_them_out_and_has_the_bytes() -> None:
    (record,) = published(request(headers=[("x", b"")] * 1_001), letter())
    assert (record.key, record.value) == (b"key", b"image")
    assert dead_letters.DeadLetter.read(record.headers).headers_left_out == "there are too many"
