"""Whatever a worker sends, the service takes only what it has asked for, and what a broker takes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from consumer.workers.processes.checking import InvalidAnswerError, check_answers
from consumer.workers.tasks import Answer, Answers, Part, Stop, Task, Timings
from engine.resume_cursor import ResumeCursor
from tests.harness.tasks import task
from transport.batches.building import NO_HEADERS, NULL, BatchBuilder

TASK = task(b"a", b"b", b"c", offset=10)


def batch(*values: bytes) -> bytearray:
    builder = BatchBuilder(2**30, 0)
    for value in values:
        builder.append(NULL, value, NO_HEADERS)
    (built,) = builder.build()
    return bytearray(built)


def check(*answers: Answer, tasks: list[Task] | None = None) -> None:
    check_answers(Answers(list(answers), Timings(0, 0, 0)), tasks or [TASK])


def part(next_offset: int, results: int = 1) -> Part:
    return Part(next_offset, [batch(*[b"{}"] * results)], recognised=results)


@pytest.mark.parametrize(
    "answer",
    [
        Answer([part(13)]),
        Answer([part(11), part(12), part(13)]),
        Answer([part(11)], Stop(11)),
        Answer([part(11), part(12)], Stop(11, ResumeCursor(1, 2))),
        Answer([part(13)], Stop(12, ResumeCursor(1, 2))),
        Answer([Part(13, [])]),
        Answer([Part(13, [batch(b"{}")], [batch(b"letter")], failures={"damaged-image": 1})]),
    ],
)
def test_what_a_worker_answers_is_taken(answer: Answer) -> None:
    check(answer)


@pytest.mark.parametrize(
    "answer",
    [
        Answer([]),
        Answer([part(12)]),
        Answer([part(14)]),
        Answer([part(10), part(13)]),
        Answer([part(12), part(11), part(13)]),
        Answer([part(11)], Stop(12)),
        Answer([part(13)], Stop(13)),
        Answer([part(12)], Stop(12, ResumeCursor(1, 2))),
        Answer([Part(13, [batch(b"{}")])]),
        Answer([Part(13, [], recognised=1)]),
        Answer([Part(13, [batch(b"{}")], failures={"damaged-image": 1})]),
        Answer([Part(13, [batch(b"{}")], [batch(b"letter")], failures={"of its own": 1})]),
        Answer([Part(13, [batch(*[b"x" * 100_000] * 10)], recognised=10)]),
        Answer([Part(13, [bytearray(61)], recognised=1)]),
        Answer([Part(13, [bytearray()], recognised=1)]),
    ],
)
def test_what_no_worker_answers_is_refused(answer: Answer) -> None:
    with pytest.raises(InvalidAnswerError):
        check(answer)


def test_more_answers_than_tasks_and_answers_after_a_stop_are_refused() -> None:
    with pytest.raises(InvalidAnswerError):
        check(Answer([part(13)]), Answer([part(13)]))
    with pytest.raises(InvalidAnswerError):
        check(Answer([part(11)], Stop(11)), Answer([part(13)]), tasks=[TASK, TASK])
    check(Answer([part(13)]), tasks=[TASK, TASK])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.append(0),  # longer than its header says
        lambda data: data.__setitem__(16, 1),  # an older format
        lambda data: data.__setitem__(22, 0x11),  # compressed
        lambda data: data.__setitem__(22, 0x30),  # a marker
        lambda data: data.__setitem__(22, 0x00),  # not of a transaction
        lambda data: data.__setitem__(60, 2),  # more records than offsets
        lambda data: data.__setitem__(slice(57, 61), b"\xff" * 4),  # a negative number of records
    ],
)
def test_a_batch_whose_header_is_not_a_workers_is_refused(damage: Callable[[bytearray], None]) -> None:
    damaged = batch(b"{}")
    damage(damaged)
    with pytest.raises(InvalidAnswerError):
        check(Answer([Part(13, [damaged], recognised=1)]))


def test_a_dead_letter_may_be_as_large_as_its_topic_takes() -> None:
    large = batch(b"x" * 2_000_000)
    letter = Part(13, [batch(b"{}")], [large], failures={"damaged-image": 1})
    check(Answer([letter]))
    two = Part(13, [batch(b"{}", b"{}")], [batch(*[b"x" * 20_000_000] * 2)], failures={"damaged-image": 2})
    with pytest.raises(InvalidAnswerError):
        check(Answer([two]), tasks=[msgspec.structs.replace(TASK, dead_letter_bytes=10)])
