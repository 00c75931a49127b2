"""A dead dead_letter says where it comes from, whatever headers its request had."""

from __future__ import annotations

import pytest

from contract import headers
from contract.dead_letters import DeadLetter, InvalidDeadLetterError

BLOCK = [
    (headers.ORIGIN_TOPIC, b"digits.requests"),
    (headers.ORIGIN_PARTITION, b"3"),
    (headers.ORIGIN_OFFSET, b"1042"),
    (headers.ORIGIN_TIMESTAMP_MS, b"1767225600000"),
    (headers.ITEM_INDEX, b"12"),
    (headers.ITEM_COUNT, b"500"),
    (headers.ITEM_NAME, "scans/zwölf.png".encode()),
    (headers.RESULT_ID, b"digits.requests/3/1042/12"),
    (headers.REQUEST_ID, b"batch"),
    (headers.ERROR_CODE, b"damaged-image"),
    (headers.ERROR_MESSAGE, b"The image is cut short."),
    (headers.ATTEMPT, b"2"),
]


def without(name: str) -> list[tuple[str, bytes]]:
    return [header for header in BLOCK if header[0] != name]


def test_it_is_parsed_from_its_headers() -> None:
    dead_letter = DeadLetter.read(BLOCK)
    assert dead_letter.origin_topic == "digits.requests"
    assert (dead_letter.origin_partition, dead_letter.origin_offset) == (3, 1042)
    assert (dead_letter.item_index, dead_letter.item_count, dead_letter.item_name) == (12, 500, "scans/zwölf.png")
    assert (dead_letter.error_code, dead_letter.attempt, dead_letter.value_left_out) == ("damaged-image", 2, None)
    assert (dead_letter.headers_left_out, dead_letter.original_headers) == (None, ())


def test_a_dead_letter_lists_what_is_left_out_and_why() -> None:
    left_out = [(headers.VALUE_LEFT_OUT, b"too large"), (headers.HEADERS_LEFT_OUT, b"too many")]
    dead_letter = DeadLetter.read([*BLOCK, *left_out])
    assert (dead_letter.value_left_out, dead_letter.headers_left_out) == ("too large", "too many")


def test_headers_of_the_request_come_first_and_are_not_read_as_ours() -> None:
    original = [
        *BLOCK,
        (headers.REQUEST_ID, b"\xff"),
        (headers.VALUE_LEFT_OUT, b"not so"),
        (headers.HEADERS_LEFT_OUT, b"not so"),
        (headers.ATTEMPT, b"7"),
        ("empty", b""),
    ]
    dead_letter = DeadLetter.read([*original, *without(headers.ITEM_NAME)])
    assert dead_letter.original_headers == tuple(original)
    assert (dead_letter.request_id, dead_letter.attempt, dead_letter.item_name) == ("batch", 2, None)
    assert (dead_letter.value_left_out, dead_letter.headers_left_out) == (None, None)


@pytest.mark.parametrize("name", [name for name, _ in BLOCK if name not in (headers.ITEM_NAME, headers.ATTEMPT)])
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(InvalidDeadLetterError, match=f"header {name} is missing"):
        DeadLetter.read(without(name))


@pytest.mark.parametrize("value", [b"", b"-", b"1.0", b"1_0", b" 1", b"9" * 5000, "٣".encode(), b"\xff"])
def test_a_header_that_is_not_a_number_is_named(value: bytes) -> None:
    with pytest.raises(InvalidDeadLetterError, match=headers.ORIGIN_OFFSET):
        DeadLetter.read([*without(headers.ORIGIN_OFFSET), (headers.ORIGIN_OFFSET, value)])


@pytest.mark.parametrize("value", [b"", b"x", b"0", b"-3", b"\xff", b"9" * 5000])
def test_an_invalid_attempt_counts_as_the_first(value: bytes) -> None:
    assert DeadLetter.read([*without(headers.ATTEMPT), (headers.ATTEMPT, value)]).attempt == 1


def test_a_result_id_of_another_origin_is_refused() -> None:
    with pytest.raises(InvalidDeadLetterError, match="does not match the origin headers"):
        DeadLetter.read([*without(headers.RESULT_ID), (headers.RESULT_ID, b"digits.requests/3/1042/11")])
