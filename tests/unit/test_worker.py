"""What a worker answers to a batch, and what it notes meanwhile, in this process."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from consumer.channel import WHOLE_RECORD, Note, Task
from consumer.worker import Answerer
from contract.errors import ErrorCode
from contract.records import read_result
from engine import errors
from engine.classifier import Classifier
from engine.limits import Limits
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits, zipped

DIGIT = drawn_digits(1)[0]
MODEL = {"name": "tested", "version": "1", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


@pytest.fixture
def note() -> Note:
    note = Note(memoryview(bytearray(Note.SIZE_BYTES)))
    note.clear()
    return note


@pytest.fixture
def answerer(reader: Reader, note: Note) -> Answerer:
    return Answerer(reader, MODEL, note)


def task(payload: bytes = DIGIT, *, offset: int = 0, condemned: dict[int, str] | None = None, **more: Any) -> Task:
    named = {"request_id": None, "filename": None} | more
    return Task(payload, "requests", 3, offset, 1_000, 2_000, condemned=condemned or {}, **named)


def test_a_result_says_all_that_the_contract_asks_for(answerer: Answerer) -> None:
    answer = answerer.answer([task(offset=7, request_id="order-7", filename="zero.png")]).answers[0]
    result = read_result(answer.results[0])
    assert result.result_id == "requests/3/7/0"
    assert result.request_id == "order-7"
    assert result.source.model_dump() == {"topic": "requests", "partition": 3, "offset": 7, "timestamp_ms": 1_000}
    assert result.item.model_dump() == {"index": 0, "count": 1, "name": "zero.png"}
    assert result.model.model_dump() == MODEL
    assert result.timing.received_at_ms == 2_000
    assert (result.error, answer.dead_letters) == (None, [])
    assert (answer.recognised, answer.unsure) == ((1, 0) if result.status == "recognised" else (0, 1))


def test_a_request_without_a_name_of_its_own_is_named_by_its_place(answerer: Answerer) -> None:
    answer = answerer.answer([task(offset=7)]).answers[0]
    assert read_result(answer.results[0]).request_id == "requests/3/7"


def test_one_bad_record_of_a_batch_fails_alone(answerer: Answerer) -> None:
    batch = [task(offset=0), task(b"no image", offset=1), task(offset=2)]
    answers = answerer.answer(batch).answers
    results = [read_result(answer.results[0]) for answer in answers]
    assert [result.digit is None for result in results] == [False, True, False]
    assert [result.source.offset for result in results] == [0, 1, 2]
    (letter,) = answers[1].dead_letters
    assert (letter.code, letter.whole, letter.data) == ("unknown-format", True, None)


def test_a_sound_image_that_opencv_has_no_memory_for_is_not_called_damaged(
    answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imdecode(*_: object) -> None:
        error = cv2.error("Failed to allocate")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    coloured = cv2.imencode(".png", np.zeros((28, 28, 3), np.uint8))[1].tobytes()
    (letter,) = answerer.answer([task(coloured)]).answers[0].dead_letters
    assert letter.code == "out-of-memory"


def test_entries_of_an_archive_are_answered_in_its_order_and_a_bad_one_alone_is_lost(answerer: Answerer) -> None:
    entries = [("b.png", DIGIT), ("a.txt", b"no image"), ("c.png", DIGIT)]
    answer = answerer.answer([task(zipped(entries))]).answers[0]
    results = [read_result(result) for result in answer.results]
    assert [(each.item.index, each.item.count, each.item.name) for each in results] == [
        (0, 3, "b.png"),
        (1, 3, "a.txt"),
        (2, 3, "c.png"),
    ]
    assert [each.status == "failed" for each in results] == [False, True, False]
    (letter,) = answer.dead_letters
    assert (letter.index, letter.name, letter.data, letter.whole) == (1, "a.txt", b"no image", False)


def test_what_may_not_be_touched_is_answered_with_its_verdict(answerer: Answerer) -> None:
    refused = task(offset=0, condemned={WHOLE_RECORD: str(ErrorCode.KEY_TOO_LARGE)})
    crashing = task(offset=1, condemned={0: str(ErrorCode.WORKER_CRASHED)})
    answers = answerer.answer([refused, crashing, task(offset=2)]).answers
    found = [json.loads(answer.results[0])["error"] for answer in answers]
    assert found == [
        {"code": "key-too-large", "message": ErrorCode.KEY_TOO_LARGE.sentence},
        {"code": "worker-crashed", "message": ErrorCode.WORKER_CRASHED.sentence},
        None,
    ]
    assert all(answer.dead_letters[0].whole for answer in answers[:2])


def test_an_entry_that_may_not_be_touched_goes_to_the_dead_letters_with_its_bytes(answerer: Answerer) -> None:
    archive = zipped([("a.png", DIGIT), ("poison.png", b"bytes that crash"), ("c.png", DIGIT)])
    answer = answerer.answer([task(archive, condemned={1: str(ErrorCode.WORKER_TIMEOUT)})]).answers[0]
    assert [read_result(each).status == "failed" for each in answer.results] == [False, True, False]
    (letter,) = answer.dead_letters
    assert (letter.code, letter.name, letter.data) == ("worker-timeout", "poison.png", b"bytes that crash")


def test_an_archive_of_junk_does_not_come_out_many_times_its_size(answerer: Answerer) -> None:
    junk = b"".join(b"%06d" % number + b" " * 94 for number in range(5_000))
    archive = zipped([(f"{index}.txt", junk) for index in range(20)])
    assert 20 * len(junk) > 4 * len(archive) + 100_000
    answer = answerer.answer([task(archive)]).answers[0]
    kept = [letter.data for letter in answer.dead_letters if letter.data is not None]
    assert len(answer.dead_letters) == 20
    assert 0 < sum(map(len, kept)) < 4 * len(archive) + 100_000
    assert set(kept) == {junk}
    reasons = {letter.left_out for letter in answer.dead_letters if letter.data is None}
    assert reasons == {"the failed entries of this archive take more than 4 times its own bytes"}


def test_the_place_noted_is_that_in_the_batch_also_behind_records_that_are_not_touched(
    answerer: Answerer, note: Note
) -> None:
    refused = {WHOLE_RECORD: str(ErrorCode.EMPTY_RECORD)}
    answerer.answer([task(b"", condemned=refused), task(), task(b"", condemned=refused)])
    assert note.position() == (1, 0)


def test_a_batch_of_refused_records_alone_is_answered_without_a_note(answerer: Answerer, note: Note) -> None:
    answers = answerer.answer([task(b"", condemned={WHOLE_RECORD: str(ErrorCode.EMPTY_RECORD)})])
    assert len(answers.answers) == 1
    assert note.position() is None


def test_the_note_ends_on_the_last_item(answerer: Answerer, note: Note) -> None:
    answerer.answer([task(), task(zipped([(f"{index}.png", DIGIT) for index in range(5)]))])
    assert note.position() == (1, 4)


def test_every_code_of_the_engine_is_one_of_the_contract() -> None:
    codes = [kind.code for kind in errors.EngineError.__subclasses__()]
    assert codes
    assert set(codes) <= {str(code) for code in ErrorCode}
