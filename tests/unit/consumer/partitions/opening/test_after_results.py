"""Where a partition goes on whose group has no offset, as its results say: decided in memory."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from consumer.partitions.opening.after_results import LONGEST_STEP, Record, backwards, newest_result, start_after
from contract.records import Result, result_id
from contract.schema import EXAMPLES
from transport.record_batch import Unreadable

SOURCE = TopicPartition("digits.requests", 9)
RESULTS = TopicPartition("digits.predictions", 1)
"""Two partitions, of which this one has the results of every odd partition of requests."""


def value(offset: int, index: int = 0, count: int = 1, *, of: TopicPartition = SOURCE, status: str = "unsure") -> bytes:
    result = copy.deepcopy(EXAMPLES[status]) | {
        "result_id": result_id(of.topic, of.partition, offset, index),
        "source": {"topic": of.topic, "partition": of.partition, "offset": offset, "timestamp_ms": offset},
        "item": {"index": index, "count": count, "name": None},
    }
    return json.dumps(result).encode()


def record(at: int, content: bytes | None, *, partition: TopicPartition = RESULTS, timestamp_ms: int = 0) -> Any:
    return ConsumerRecord(*partition, at, timestamp_ms, 0, None, content, None, -1, -1, ())


class Log:
    """A partition of results in memory."""

    def __init__(self, contents: Sequence[bytes | Unreadable | None], *, start: int = 0) -> None:
        self.records = [
            each if isinstance(each, Unreadable) else record(start + number, each)
            for number, each in enumerate(contents)
        ]
        self.span = range(start, start + len(contents))
        self.passed = 0

    async def read(self, step: range) -> AsyncIterator[Sequence[Record]]:
        assert step.start >= self.span.start
        assert step.stop <= self.span.stop
        for first in range(step.start, step.stop, 100):
            records = self.records[first - self.span.start : min(first + 100, step.stop) - self.span.start]
            self.passed += len(records)
            yield records


async def newest(log: Log) -> tuple[int, int] | None:
    found = await newest_result(log.read, log.span, SOURCE)
    return None if found is None else (found.source.offset, found.item.index)


@pytest.mark.parametrize("length", [1, 256, 257, 70_000])
def test_steps_cover_a_log_from_its_end_to_its_start_once(length: int) -> None:
    steps = list(backwards(range(1_000, 1_000 + length)))
    assert sorted(offset for step in steps for offset in step) == list(range(1_000, 1_000 + length))
    assert steps == sorted(steps, key=lambda step: step.start, reverse=True)
    assert max(len(step) for step in steps) <= LONGEST_STEP


async def test_the_newest_result_is_found_near_the_end_of_a_long_log() -> None:
    log = Log([value(offset) for offset in range(10_000)], start=77)
    assert await newest(log) == (9_999, 0)
    assert log.passed <= 256


async def test_failed_results_count_as_results() -> None:
    assert await newest(Log([value(1), value(2, status="failed")])) == (2, 0)


async def test_what_is_no_result_of_the_partition_is_passed_over() -> None:
    neighbours = [TopicPartition(SOURCE.topic, each) for each in (1, 99, 90)]
    others = [*neighbours, TopicPartition("other.requests", 9), TopicPartition("requests", 9)]
    incomplete = json.dumps({"result_id": result_id(SOURCE.topic, SOURCE.partition, 70, 0)}).encode()
    lies = value(80).replace(b'"partition": 9', b'"partition": 7')
    strange: list[bytes | Unreadable | None] = [
        None,
        b"",
        b"\xff",
        b"{}",
        incomplete,
        lies,
        Unreadable(RESULTS, 9, "x"),
    ]
    assert await newest(Log([value(3), *strange, *(value(60, of=each) for each in others)])) == (3, 0)
    assert await newest(Log([*strange, *(value(60, of=each) for each in others)])) is None


async def test_a_result_that_lies_far_before_those_of_other_partitions_is_found() -> None:
    busy = TopicPartition(SOURCE.topic, 1)
    log = Log([value(4), value(5), *(value(offset, of=busy) for offset in range(40_000))])
    assert await newest(log) == (5, 0)
    assert log.passed == len(log.span)


async def test_an_empty_log_has_no_result() -> None:
    assert await newest(Log([], start=5)) is None


def given(offset: int, index: int = 0, count: int = 1) -> Result:
    return Result.model_validate_json(value(offset, index, count))


def request(offset: int, *, timestamp_ms: int | None = None) -> Any:
    return record(offset, b"", partition=SOURCE, timestamp_ms=offset if timestamp_ms is None else timestamp_ms)


@pytest.mark.parametrize(
    ("result", "log", "asked", "goes_on_at"),
    [
        pytest.param(given(7), range(10), request(7), 8, id="the-next"),
        pytest.param(given(9), range(10), request(9), 10, id="nothing-waits"),
        pytest.param(given(0), range(10), request(0), 1, id="only-the-first"),
        pytest.param(given(7, 9_999, 10_000), range(10), request(7), 8, id="the-last-item-of-an-archive"),
        pytest.param(given(7, 3, 10), range(10), request(7), 7, id="an-archive-that-is-not-whole"),
        pytest.param(given(7), range(10), Unreadable(SOURCE, 7, "x"), 8, id="a-request-that-cannot-be-read"),
        pytest.param(given(7), range(8, 10), None, 8, id="retention-has-deleted-what-was-answered"),
        pytest.param(given(7), range(9, 10), None, 9, id="retention-has-deleted-more"),
        pytest.param(given(7), range(7), None, 0, id="a-shorter-log"),
        pytest.param(given(7), range(10), request(7, timestamp_ms=1), 0, id="another-request-at-this-offset"),
        pytest.param(given(7), range(10), request(8), 0, id="no-request-at-this-offset"),
        pytest.param(given(7), range(10), None, 0, id="no-request-from-this-offset-on"),
        pytest.param(None, range(3, 10), None, 3, id="no-results"),
    ],
)
def test_it_goes_on_after_the_last_request_that_has_its_results(
    result: Result | None, log: range, asked: Record | None, goes_on_at: int
) -> None:
    start = start_after(result, log, asked)
    assert (start.offset, start.is_known) == (goes_on_at, result is not None)


@pytest.mark.parametrize(
    ("result", "log", "asked", "words"),
    [
        (given(7), range(10), request(7), "request 7 was answered last"),
        (given(7, 3, 10), range(10), request(7), "only up to item 3 of 10"),
        (given(7), range(8, 10), None, "request 7 was answered last, and the log starts at 8"),
        (given(7), range(9, 10), None, "retention has deleted requests after it, answered or not"),
        (given(7), range(7), None, "request 7 that is not in this log: the topic was created again"),
        (None, range(7), None, "there are no results of this partition"),
    ],
)
def test_the_start_has_a_reason(result: Result | None, log: range, asked: Record | None, words: str) -> None:
    assert start_after(result, log, asked).why.endswith(words)
