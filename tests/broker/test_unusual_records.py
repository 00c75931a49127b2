"""Any record is answered as the contract says, and the service goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from broker import Cluster
from contract.dead_letters import DeadLetter
from contract.records import Result, Status, read_result
from contract.topics import MAX_RECORD_BYTES
from tests.harness.images import drawn_digits, zipped
from tests.harness.raw_batches import UNREADABLE, Raw, send_batch
from tests.harness.service import running_service
from tests.harness.topics import Broker, Headers, Position, fresh_topics, position
from tests.harness.waiting import eventually

DIGIT = drawn_digits(1)[0]
DAMAGED = {17: DIGIT[:-20], 500: b"no image", 999: b""}
"""Three entries of the zip of 1,000, by index."""
NAMES = [f"{999 - index:03}.png" for index in range(1_000)]
"""Not sorted: the archive's order is what counts."""


@dataclass(frozen=True)
class Request:
    """What is sent."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


REQUESTS = {
    "an image": Request(
        DIGIT,
        key=b"customer-7",
        headers=[
            ("x-own", b"1"),
            ("traceparent", b"00-1-1-00"),
            ("filename", b"zero.png"),
            ("request-id", b"order-7"),
            ("correlation-id", b"\xff"),
        ],
    ),
    "an image without anything": Request(DIGIT),
    "a key too large": Request(DIGIT, key=b"k" * 4097, headers=[("request-id", b"order-8")]),
    "a key of the largest size": Request(DIGIT, key=b"k" * 4096),
    "a header too large": Request(DIGIT, key=b"k", headers=[("traceparent", b"t" * 1025), ("request-id", b"order-9")]),
    "a file name too large": Request(DIGIT, key=b"k", headers=[("filename", b"n" * 1025)]),
    "a tombstone": Request(None, key=b"k", headers=[("request-id", b"order-10")]),
    "a tombstone without a key": Request(None),
    "no bytes": Request(b"", key=b"k"),
    "no image": Request(b"no image", headers=[("filename", b"letter.txt")]),
    "half an image": Request(DIGIT[:-20]),
    "an empty archive": Request(zipped([])),
    "half an archive": Request(zipped([("a.png", DIGIT)])[:-30]),
    "no image of the largest size": Request(b"x" * MAX_RECORD_BYTES, key=b"k"),
    "more bytes than the limit": Request(b"x" * (MAX_RECORD_BYTES + 1), key=b"k"),
    "a thousand images": Request(
        zipped([(name, DAMAGED.get(index, DIGIT)) for index, name in enumerate(NAMES)]),
        key=b"k",
        headers=[("request-id", b"order-11"), ("filename", b"all.zip")],
    ),
}


class Answers:
    """What came back, by the name of the request."""

    def __init__(
        self, sent: dict[str, Position], results: list[ConsumerRecord], dead_letters: list[ConsumerRecord]
    ) -> None:
        self.sent = sent
        self._results = [(record, read_result(record.value)) for record in results]
        self._dead_letters = [(record, DeadLetter.read(record.headers)) for record in dead_letters]

    def results(self, name: str) -> list[tuple[ConsumerRecord, Result]]:
        return [each for each in self._results if position(each[1]) == self.sent[name]]

    def dead_letters(self, name: str) -> list[tuple[ConsumerRecord, DeadLetter]]:
        return [
            each for each in self._dead_letters if (each[1].origin_partition, each[1].origin_offset) == self.sent[name]
        ]


@pytest.fixture(scope="module")
async def answers(cluster: Cluster) -> AsyncIterator[Answers]:
    """Everything is sent at once, the requests to all partitions in rotation, and answered by one service."""
    async with (
        fresh_topics(cluster) as broker,
        AIOKafkaProducer(bootstrap_servers=cluster.bootstrap_servers) as upstream,
    ):
        sent = {}
        for number, (name, request) in enumerate(REQUESTS.items()):
            partition = number % broker.partitions
            record = Raw(request.value, request.key, request.headers)
            (sent[name],) = await send_batch(upstream, broker.topics.requests, [record], partition=partition)
        async with running_service(broker):
            await broker.everything_answered()
        results, letters = await broker.read(broker.topics.predictions), await broker.dead_letters()
        yield Answers(sent, results, letters)


def test_every_request_is_answered_in_the_partition_of_its_number(answers: Answers) -> None:
    for name, sent in answers.sent.items():
        results = answers.results(name)
        assert [result.item.index for _, result in results] == list(range(1_000 if name == "a thousand images" else 1))
        assert {record.partition for record, _ in results} == {sent.partition}
        assert {record.partition for record, _ in answers.dead_letters(name)} <= {sent.partition}


def test_the_result_echoes_the_key_and_three_headers(answers: Answers) -> None:
    ((record, result),) = answers.results("an image")
    assert record.key == b"customer-7"
    assert dict(record.headers) == {
        "request-id": b"order-7",
        "correlation-id": b"\xff",
        "traceparent": b"00-1-1-00",
    }
    assert result.request_id == "order-7"
    assert result.item.name == "zero.png"
    assert result.status is not Status.FAILED


def test_a_request_without_key_and_headers_is_identified_by_its_position(answers: Answers) -> None:
    ((record, result),) = answers.results("an image without anything")
    assert (record.key, record.headers) == (None, ())
    sent = answers.sent["an image without anything"]
    assert result.request_id == f"{result.source.topic}/{sent.partition}/{sent.offset}"
    assert result.item.name is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a key too large", "key-too-large"),
        ("a header too large", "header-too-large"),
        ("a file name too large", "header-too-large"),
        ("a tombstone", "empty-record"),
        ("a tombstone without a key", "empty-record"),
        ("no bytes", "empty-record"),
        ("no image", "unknown-format"),
        ("half an image", "damaged-image"),
        ("an empty archive", "empty-archive"),
        ("half an archive", "damaged-archive"),
        ("no image of the largest size", "unknown-format"),
        ("more bytes than the limit", "record-too-large"),
    ],
)
def test_a_failed_request_has_a_result_and_a_dead_letter_with_its_bytes(answers: Answers, name: str, code: str) -> None:
    request = REQUESTS[name]
    ((_, result),) = answers.results(name)
    ((record, letter),) = answers.dead_letters(name)
    assert result.error is not None
    assert (result.error.code, result.item.count) == (code, 1)
    assert (letter.error_code, letter.error_message) == (code, result.error.message)
    assert (letter.result_id, letter.request_id) == (result.result_id, result.request_id)
    assert letter.origin_timestamp_ms == result.source.timestamp_ms
    assert (record.key, record.value) == (request.key, request.value or None)
    assert letter.original_headers == tuple(request.headers)
    assert (letter.value_left_out is None) == bool(request.value)
    assert letter.attempt == 1


@pytest.mark.parametrize("name", ["a key too large", "a header too large", "a file name too large"])
def test_a_key_or_header_that_is_too_large_is_not_echoed(answers: Answers, name: str) -> None:
    ((record, result),) = answers.results(name)
    assert (record.key, record.headers) == (None, ())
    assert result.item.name is None
    assert result.request_id == "/".join(result.result_id.split("/")[:3])


def test_a_key_of_the_largest_size_is_echoed(answers: Answers) -> None:
    ((record, result),) = answers.results("a key of the largest size")
    assert record.key == b"k" * 4096
    assert result.status is not Status.FAILED


def test_a_zip_of_1000_with_three_damaged_entries_loses_those_three(answers: Answers) -> None:
    results = answers.results("a thousand images")
    assert [(result.item.index, result.item.count, result.item.name) for _, result in results] == [
        (index, 1_000, name) for index, name in enumerate(NAMES)
    ]
    offsets = [record.offset for record, _ in results]
    assert offsets == list(range(offsets[0], offsets[0] + 1_000)), "in archive order, in one transaction"
    failed = {result.item.index: result.error.code for _, result in results if result.error}
    assert failed == {17: "damaged-image", 500: "unknown-format", 999: "empty-record"}
    letters = answers.dead_letters("a thousand images")
    assert {letter.item_index: record.value for record, letter in letters} == {
        index: data or None for index, data in DAMAGED.items()
    }
    assert [letter.item_name for _, letter in letters] == [NAMES[index] for index in DAMAGED]
    for record, _ in [*results, *letters]:
        assert record.key == b"k"
        assert ("request-id", b"order-11") in record.headers


async def send_named(broker: Broker, names: Sequence[str], *, partition: int, transaction: str | None = None) -> None:
    """Send one batch of digits with a header of each name; `transaction` says how one ends that it belongs to."""
    options: dict[str, Any] = {"transactional_id": f"upstream of {broker.group_id}"} if transaction else {}
    records = [Raw(digit, b"key", [(name, b"")]) for name, digit in zip(names, drawn_digits(len(names)), strict=True)]
    async with AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers, **options) as producer:
        if transaction:
            await producer.begin_transaction()
        await send_batch(producer, broker.topics.requests, records, partition=partition)
        if transaction:
            await (producer.commit_transaction() if transaction == "commit" else producer.abort_transaction())


async def test_a_record_with_a_header_that_is_not_utf8_fails_alone_within_its_batch(broker: Broker) -> None:
    await broker.send(drawn_digits(3), partition=0)
    await send_named(broker, ["a", UNREADABLE, "b", UNREADABLE, UNREADABLE, "c"], partition=0)
    await broker.send(drawn_digits(3), partition=0)
    await send_named(broker, ["a", UNREADABLE, "b"], partition=1, transaction="commit")
    await send_named(broker, [UNREADABLE], partition=1, transaction="abort")
    await send_named(broker, [UNREADABLE, "a"], partition=1)
    async with running_service(broker):
        # Not `everything_answered`: the client that it reads the requests with cannot parse them either.
        await eventually(broker.committed_offsets, lambda offsets: (offsets[0], offsets[1]) == (12, 8))
    found = [(position(result), result.error.code if result.error else None) for result in await broker.results()]
    unreadable = [(0, 4), (0, 6), (0, 7), (1, 1), (1, 6)]
    # In partition 1 offset 3 is the first transaction's marker, 4 and 5 are the aborted record and its marker.
    expected = [Position(0, offset) for offset in range(12)] + [Position(1, offset) for offset in (0, 1, 2, 6, 7)]
    assert found == [(place, "unreadable-record" if place in unreadable else None) for place in expected]
    letters = [(record, DeadLetter.read(record.headers)) for record in await broker.dead_letters()]
    assert [(letter.origin_partition, letter.origin_offset) for _, letter in letters] == unreadable
    assert all(record.value is None and letter.value_left_out for record, letter in letters)


async def test_requests_of_an_aborted_transaction_are_not_answered(broker: Broker) -> None:
    committed = await broker.send_in_transaction(drawn_digits(5), partition=0)
    await broker.send_in_transaction(drawn_digits(5), partition=0, abort=True)
    plain = await broker.send(drawn_digits(5), partition=0)
    async with running_service(broker):
        await broker.everything_answered()
    assert [position(result) for result in await broker.results()] == [*committed, *plain]
