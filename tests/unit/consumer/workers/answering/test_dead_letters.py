"""What is published for a failed item: its original bytes, its origin and the reason."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from consumer.settings import EchoSettings
from consumer.workers.answering import dead_letters as module
from consumer.workers.answering.dead_letters import DeadLetter, DeadLetterWriter, Item
from consumer.workers.answering.requests import Request, RequestReader
from consumer.workers.answering.results import Failure
from consumer.workers.batches.scanning import scan
from consumer.workers.tasks import Task
from contract import dead_letters
from contract.errors import ErrorCode
from engine.limits import Limits
from engine.reader import Outcome
from tests.harness.raw_batches import Raw
from tests.harness.tasks import rules, task
from transport.batches.layout import MAX_HEADERS

LIMIT_BYTES = 1024 * 1024
FAILURE = Failure(ErrorCode.DAMAGED_IMAGE, "It is damaged.")


def request(
    value: bytes | None = b"image", *, key: bytes | None = b"key", headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[Task, Request]:
    of = task(Raw(value, key, headers), offset=7)
    (block,) = scan(of.batches[0], limit_bytes=1)
    return of, RequestReader(0, of, rules(), Limits()).request(block, block.rows()[0])


def letter(*, index: int = 0, name: str | None = None, data: bytes | None = None, left_out: str | None = None) -> Item:
    of = Outcome("payload" if name is None else "entry", name, data=data, left_out=left_out)
    return Item(index, 5, name, FAILURE, of)


def published(
    of: tuple[Task, Request], *letters: Item, limit_bytes: int = LIMIT_BYTES, all_bytes: int = LIMIT_BYTES
) -> list[DeadLetter]:
    limited = msgspec.structs.replace(of[0], dead_letter_bytes=limit_bytes)
    writer = DeadLetterWriter(limited, of[1], request_bytes=all_bytes, spent_bytes=0)
    return [writer.write(each) for each in letters]


def read(of: DeadLetter) -> dead_letters.DeadLetter:
    return dead_letters.DeadLetter.read([(name, value or b"") for name, value in of.headers])


def test_a_dead_letter_is_the_record_with_its_origin_and_reason() -> None:
    headers = [("x-own", b"1"), ("request-id", b"order-7")]
    (record,) = published(request(headers=headers), letter())
    assert (record.key, record.value) == (b"key", b"image")
    found = read(record)
    assert found.original_headers == tuple(headers)
    assert (found.origin_topic, found.origin_partition, found.origin_offset) == ("requests", 3, 7)
    assert found.origin_timestamp_ms == 1_000
    assert (found.item_index, found.item_count, found.item_name) == (0, 5, None)
    assert (found.result_id, found.request_id) == ("requests/3/7/0", "order-7")
    assert (found.error_code, found.error_message) == ("damaged-image", "It is damaged.")
    assert (found.attempt, found.value_left_out) == (1, None)


def test_the_dead_letter_of_an_entry_has_the_entrys_bytes_and_name() -> None:
    (record,) = published(request(b"an archive"), letter(index=2, name="drei.png", data=b"entry"))
    found = read(record)
    assert record.value == b"entry"
    assert (found.item_index, found.item_name, found.result_id) == (2, "drei.png", "requests/3/7/2")


def test_a_dead_letter_without_bytes_has_the_reason() -> None:
    (record,) = published(request(), letter(name="bomb.png", left_out="not unpacked: entry-too-large"))
    assert record.value is None
    assert read(record).value_left_out == "not unpacked: entry-too-large"


@pytest.mark.parametrize("value", [None, b""])
def test_of_a_tombstone_there_are_no_bytes_to_keep(value: bytes | None) -> None:
    (record,) = published(request(value, key=None), letter())
    assert (record.key, record.value) == (None, None)
    assert read(record).value_left_out


def test_the_original_key_is_kept_also_where_it_was_too_large_to_be_echoed() -> None:
    refused = request(key=b"k" * 5_000)
    (record,) = published(refused, letter())
    assert record.key == b"k" * 5_000
    assert refused[1].echo_key is None


def test_bytes_that_do_not_fit_the_topic_are_left_out() -> None:
    (fits,) = published(request(b"x" * 90_000), letter(), limit_bytes=100_000)
    assert fits.value == b"x" * 90_000
    (record,) = published(request(b"x" * 100_000), letter(), limit_bytes=100_000)
    assert (record.key, record.value) == (b"key", None)
    assert read(record).value_left_out == ("100000 bytes do not fit the dead-letter topic")


def test_headers_that_do_not_fit_the_topic_are_left_out_too() -> None:
    (record,) = published(request(headers=[("x-own", b"x" * 100_000)]), letter(), limit_bytes=100_000)
    assert (record.key, record.value) == (None, b"image")
    found = read(record)
    assert found.original_headers == ()
    assert dict(record.headers)["headers-left-out"] == b"they do not fit the dead-letter topic"


@pytest.mark.parametrize(("header", "attempt"), [(b"3", 3), (b"", 1), (b"0", 1), (b"-2", 1), (b"x" * 5_000, 1)])
def test_the_attempt_is_that_of_a_replay_and_not_whatever_a_sender_writes(header: bytes, attempt: int) -> None:
    (record,) = published(request(headers=[("attempt", header)]), letter())
    assert read(record).attempt == attempt
    assert int(dict(record.headers)["attempt"] or b"") == attempt


def test_only_the_first_of_many_failed_entries_keep_bytes_and_headers() -> None:
    headers = [("x-own", b"h" * 10_000)]
    letters = [letter(index=index, name=f"{index}.png", data=b"x" * 30_000) for index in range(5)]
    records = published(request(b"archive", headers=headers), *letters, all_bytes=100_000)
    assert [len(record.value or b"") for record in records] == [30_000, 30_000, 0, 0, 0]
    found = [read(record) for record in records]
    assert [len(each.original_headers) for each in found] == [1, 1, 1, 0, 0]
    assert [each.result_id for each in found] == [f"requests/3/7/{index}" for index in range(5)]
    why = "the dead letters of this record take more than 100000 bytes"
    assert [each.value_left_out for each in found] == [None, None, why, why, why]
    assert [dict(record.headers).get("headers-left-out") for record in records] == [None] * 3 + [why.encode()] * 2


def test_dead_letters_fill_the_available_bytes_exactly() -> None:
    (whole,) = published(request(b"x" * 1_000), letter())
    bare = module.FRAMING_BYTES + module._size_bytes(whole.headers) + len(b"key")
    for room, kept in ((bare + 1_001, 1_000), (bare + 1_000, 1_000), (bare + 999, 0)):
        (record,) = published(request(b"x" * 1_000), letter(), all_bytes=room)
        assert len(record.value or b"") == kept


def test_a_dead_letter_with_the_most_allowed_headers_is_read_back_whole() -> None:
    most = EchoSettings().headers
    assert most == next(each.le for each in EchoSettings.model_fields["headers"].metadata if hasattr(each, "le"))
    headers = [(f"x-{number}", b"") for number in range(most)]
    (record,) = published(request(headers=headers), letter(name="a.png", left_out="too large"))
    assert most < len(record.headers) < MAX_HEADERS
    assert len(read(record).original_headers) == most


def test_a_dead_letter_with_too_many_headers_leaves_them_out_and_has_the_bytes() -> None:
    (record,) = published(request(headers=[("x", b"")] * 1_001), letter())
    assert (record.key, record.value) == (b"key", b"image")
    assert read(record).headers_left_out == "there are too many"
