"""Frames between service and workers come out as they went in; the note says where a worker is."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from consumer.workers.protocol import (
    ANSWERS,
    LENGTH,
    START,
    START_REPLY,
    TASKS,
    Answer,
    Answers,
    Compiling,
    FailedItem,
    ProgressNote,
    Ready,
    Refusal,
    Start,
    Task,
    Timings,
    frame,
)
from engine.resume_cursor import ResumeCursor


def body(framed: bytearray) -> bytes:
    (length,) = LENGTH.unpack_from(framed)
    assert len(framed) == LENGTH.size + length
    return bytes(framed[LENGTH.size :])


def test_tasks_come_out_as_they_went_in() -> None:
    tasks = [
        Task(
            b"\x00\xff" * 1_000,
            "requests",
            3,
            2**40,
            -1,
            2_000,
            "order-7",
            "sieben.png",
            {0: "worker-crashed"},
            "f" * 32,
            9,
        ),
        Task(b"", "requests", 0, 0, 0, 0, None, None, {-1: "empty-record"}),
        Task(b"PK", "requests", 0, 0, 0, 0, None, None, resume_from=ResumeCursor(3, 10, 2**30, 7)),
    ]
    assert TASKS.decode(body(frame(tasks))) == tasks


def test_answers_come_out_as_they_went_in() -> None:
    letter = FailedItem(1, 2, "a.png", "damaged-image", "It is damaged.", False, b"\xff", None)
    answers = Answers([Answer([b"{}", b"{}"], [letter], 1, 0, 5)], Timings(0.1, 0.2, 0.3), ResumeCursor(2, 3, 2**30, 7))
    assert ANSWERS.decode(body(frame(answers))) == answers


@pytest.mark.parametrize("reply", [Ready(), Refusal("the model is damaged"), Compiling(3, 70)])
def test_a_worker_reports_ready_compiling_or_a_refusal(reply: Ready | Refusal | Compiling) -> None:
    assert START_REPLY.decode(body(frame(reply))) == reply
    start = Start("models/digits", b"{}", {"pixels": 1}, 2**24, 2**30, 60)
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
    worker.write(2, 499)
    assert service.position() == (2, 499)
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
            worker.write(0, 0)
            seen.append(service.progress())
    assert all(one != other for one, other in itertools.pairwise(seen))
