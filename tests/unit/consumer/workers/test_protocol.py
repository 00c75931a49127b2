"""Frames between service and workers come out as they went in; the note says where a worker is."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import (
    ANSWERS,
    LENGTH,
    START,
    START_REPLY,
    TASKS,
    Compiling,
    Ready,
    Refusal,
    Start,
    StartModel,
    frame,
)
from consumer.workers.tasks import Answer, Answers, FailedItem, Part, SampledRecord, Stop, Timings, Unread
from engine.resume_cursor import ResumeCursor
from tests.harness.tasks import rules, task


def body(framed: bytearray) -> bytes:
    (length,) = LENGTH.unpack_from(framed)
    assert len(framed) == LENGTH.size + length
    return bytes(framed[LENGTH.size :])


def test_tasks_come_out_as_they_went_in() -> None:
    quarantined = {2**40: {0: "worker-crashed", -1: "empty-record"}}
    tasks = [
        task(b"\x00\xff" * 1_000, b"", offset=2**40, quarantined=quarantined, isolate=True),
        task(b"PK", resume_from=ResumeCursor(3, 10, 2**30, 7), spent_bytes=5),
    ]
    assert TASKS.decode(body(frame(tasks))) == tasks


def test_answers_come_out_as_they_went_in() -> None:
    part = Part(
        2**40,
        [bytearray(b"results")],
        [bytearray(b"letters")],
        failures={"damaged-image": 2},
        failed_items=[FailedItem(7, 1, "order-7", None, "damaged-image")],
        sampled=[SampledRecord(7, "order-7", "f" * 32, "e" * 16, 100, 2, 1, "damaged-image", "It is damaged.")],
        unread=Unread(3, 8, "it is cut short"),
    )
    stop = Stop(2**40, ResumeCursor(2, 3, 2**30, 7), 9)
    answers = Answers([Answer([part]), Answer([part], stop)], Timings(0.1, 0.2, 0.3))
    assert ANSWERS.decode(body(frame(answers))) == answers


def test_counts_are_never_negative() -> None:
    answers = Answers([Answer([Part(1, [], recognised=-1)])], Timings(0.1, 0.2, 0.3))
    with pytest.raises(msgspec.ValidationError):
        ANSWERS.decode(body(frame(answers)))


@pytest.mark.parametrize("reply", [Ready(), Refusal("the model is damaged"), Compiling(3, 70)])
def test_a_worker_reports_ready_compiling_or_a_refusal(reply: Ready | Refusal | Compiling) -> None:
    assert START_REPLY.decode(body(frame(reply))) == reply
    start = Start(StartModel("models/digits", b"{}"), 2**30, rules(), StartModel(".", b"{}"))
    assert START.decode(body(frame(start))) == start


def test_what_is_no_answer_is_refused() -> None:
    for nonsense in (b"", b"\xff", msgspec.msgpack.encode([]), msgspec.msgpack.encode({"answers": 1})):
        with pytest.raises(msgspec.DecodeError):
            ANSWERS.decode(nonsense)


def test_a_cleared_note_names_no_item() -> None:
    note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
    note.clear()
    assert note.position() is None


def test_service_and_worker_see_the_same_note() -> None:
    memory = memoryview(bytearray(ProgressNote.SIZE_BYTES))
    service, worker = ProgressNote(memory), ProgressNote(memory)
    service.clear()
    worker.write(2, 2**40, 499)
    assert service.position() == (2, 2**40, 499)
    worker.write_many_items()
    assert (service.position(), service.is_on_many_items()) == (None, True)
    service.clear()
    assert (service.position(), service.is_on_many_items()) == (None, False)


def test_every_note_is_progress_also_on_the_same_item_and_after_it_was_cleared() -> None:
    memory = memoryview(bytearray(ProgressNote.SIZE_BYTES))
    service, worker = ProgressNote(memory), ProgressNote(memory)
    seen = []
    for _ in range(2):
        service.clear()
        seen.append(service.progress())
        for _ in range(2):
            worker.write(0, 0, 0)
            seen.append(service.progress())
    assert all(one != other for one, other in itertools.pairwise(seen))
