"""What a worker answers to a batch, and what it notes meanwhile, in this process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from consumer.settings import EchoSettings
from consumer.workers import worker
from consumer.workers.protocol import WHOLE_RECORD, Answer, ProgressNote, Task
from consumer.workers.worker import BatchProcessor
from contract.errors import ErrorCode
from contract.records import read_result
from engine import errors
from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from engine.resume_cursor import BEGINNING, ResumeCursor
from models import default_model
from tests.harness.images import drawn_digits, zipped

DIGIT = drawn_digits(1)[0]
MODEL = {"name": "tested", "version": "1", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


@pytest.fixture
def note() -> ProgressNote:
    note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
    note.clear()
    return note


@pytest.fixture
def processor(reader: Reader, note: ProgressNote) -> BatchProcessor:
    return BatchProcessor(reader, MODEL, note, results_bytes=EchoSettings().results_bytes, record_timeout_s=60)


def task(payload: bytes = DIGIT, *, offset: int = 0, quarantined: dict[int, str] | None = None, **more: Any) -> Task:
    named = {"request_id": None, "filename": None} | more
    return Task(payload, "requests", 3, offset, 1_000, 2_000, quarantined=quarantined or {}, **named)


def test_a_result_has_all_fields_of_the_contract(processor: BatchProcessor) -> None:
    answer = processor.answer([task(offset=7, request_id="order-7", filename="zero.png")]).answers[0]
    result = read_result(answer.results[0])
    assert result.result_id == "requests/3/7/0"
    assert result.request_id == "order-7"
    assert result.source.model_dump() == {"topic": "requests", "partition": 3, "offset": 7, "timestamp_ms": 1_000}
    assert result.item.model_dump() == {"index": 0, "count": 1, "name": "zero.png"}
    assert result.model.model_dump() == MODEL
    assert result.timing.received_at_ms == 2_000
    assert (result.error, answer.failed_items) == (None, [])
    assert (answer.recognised, answer.unsure) == ((1, 0) if result.status == "recognised" else (0, 1))


def test_a_request_without_an_id_is_identified_by_its_position(processor: BatchProcessor) -> None:
    answer = processor.answer([task(offset=7)]).answers[0]
    assert read_result(answer.results[0]).request_id == "requests/3/7"


def test_one_bad_record_of_a_batch_fails_alone(processor: BatchProcessor) -> None:
    batch = [task(offset=0), task(b"no image", offset=1), task(offset=2)]
    answers = processor.answer(batch).answers
    results = [read_result(answer.results[0]) for answer in answers]
    assert [result.digit is None for result in results] == [False, True, False]
    assert [result.source.offset for result in results] == [0, 1, 2]
    (letter,) = answers[1].failed_items
    assert (letter.code, letter.whole, letter.data) == ("unknown-format", True, None)


def test_a_sound_image_that_opencv_has_no_memory_for_is_not_called_damaged(
    processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imdecode(*_: object) -> None:
        error = cv2.error("Failed to allocate")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    coloured = cv2.imencode(".png", np.zeros((28, 28, 3), np.uint8))[1].tobytes()
    (letter,) = processor.answer([task(coloured)]).answers[0].failed_items
    assert letter.code == "out-of-memory"


def test_entries_are_answered_in_order_and_a_bad_one_fails_alone(processor: BatchProcessor) -> None:
    entries = [("b.png", DIGIT), ("a.txt", b"no image"), ("c.png", DIGIT)]
    answer = processor.answer([task(zipped(entries))]).answers[0]
    results = [read_result(result) for result in answer.results]
    assert [(each.item.index, each.item.count, each.item.name) for each in results] == [
        (0, 3, "b.png"),
        (1, 3, "a.txt"),
        (2, 3, "c.png"),
    ]
    assert [each.status == "failed" for each in results] == [False, True, False]
    (letter,) = answer.failed_items
    assert (letter.index, letter.name, letter.data, letter.whole) == (1, "a.txt", b"no image", False)


def test_what_may_not_be_touched_is_answered_with_its_verdict(processor: BatchProcessor) -> None:
    refused = task(offset=0, quarantined={WHOLE_RECORD: str(ErrorCode.KEY_TOO_LARGE)})
    crashing = task(offset=1, quarantined={0: str(ErrorCode.WORKER_CRASHED)})
    answers = processor.answer([refused, crashing, task(offset=2)]).answers
    found = [json.loads(answer.results[0])["error"] for answer in answers]
    assert found == [
        {"code": "key-too-large", "message": ErrorCode.KEY_TOO_LARGE.sentence},
        {"code": "worker-crashed", "message": ErrorCode.WORKER_CRASHED.sentence},
        None,
    ]
    assert all(answer.failed_items[0].whole for answer in answers[:2])


def test_an_entry_that_must_not_be_read_is_dead_lettered_with_its_bytes(processor: BatchProcessor) -> None:
    archive = zipped([("a.png", DIGIT), ("poison.png", b"bytes that crash"), ("c.png", DIGIT)])
    answer = processor.answer([task(archive, quarantined={1: str(ErrorCode.WORKER_TIMEOUT)})]).answers[0]
    assert [read_result(each).status == "failed" for each in answer.results] == [False, True, False]
    (letter,) = answer.failed_items
    assert (letter.code, letter.name, letter.data) == ("worker-timeout", "poison.png", b"bytes that crash")


def test_an_archive_of_junk_does_not_come_out_many_times_its_size(processor: BatchProcessor) -> None:
    junk = b"".join(b"%06d" % number + b" " * 94 for number in range(5_000))
    archive = zipped([(f"{index}.txt", junk) for index in range(20)])
    assert 20 * len(junk) > 2 * len(archive) + 100_000
    answer = processor.answer([task(archive)]).answers[0]
    kept = [letter.data for letter in answer.failed_items if letter.data is not None]
    assert len(answer.failed_items) == 20
    assert 0 < sum(map(len, kept)) < 2 * len(archive) + 100_000
    assert set(kept) == {junk}
    reasons = {letter.left_out for letter in answer.failed_items if letter.data is None}
    assert reasons == {"the failed entries of this archive take more than 2 times its own bytes"}


def test_the_noted_place_counts_records_that_are_skipped(processor: BatchProcessor, note: ProgressNote) -> None:
    refused = {WHOLE_RECORD: str(ErrorCode.EMPTY_RECORD)}
    processor.answer([task(b"", quarantined=refused), task(isolate=True), task(b"", quarantined=refused)])
    assert note.position() == (1, 0)


def test_a_batch_of_refused_records_alone_is_answered_without_a_note(
    processor: BatchProcessor, note: ProgressNote
) -> None:
    answers = processor.answer([task(b"", quarantined={WHOLE_RECORD: str(ErrorCode.EMPTY_RECORD)})])
    assert len(answers.answers) == 1
    assert note.position() is None


def test_the_note_marks_when_many_items_are_read_at_once(processor: BatchProcessor, note: ProgressNote) -> None:
    processor.answer([task(), task(b"no image")])
    assert (note.position(), note.is_on_many_items()) == (None, True)


def test_isolated_items_are_noted_by_name_and_have_the_same_results(
    processor: BatchProcessor, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [task(), task(zipped([(f"{index}.png", DIGIT) for index in range(5)]), offset=1), task(b"junk", offset=2)]
    together = processor.answer(batch).answers
    touched = []
    see = Classifier.prepare

    def noted(self: Classifier, pictures: Sequence[Picture]) -> Canvas:
        touched.append((note.position(), len(pictures)))
        return see(self, pictures)

    monkeypatch.setattr(Classifier, "prepare", noted)
    apart = processor.answer([batch[0], *(msgspec.structs.replace(each, isolate=True) for each in batch[1:])]).answers
    assert touched == [((0, 0), 1), *(((1, index), 1) for index in range(5))]
    assert note.position() == (2, 0)
    assert [[as_ever(each) for each in answer.results] for answer in apart] == [
        [as_ever(each) for each in answer.results] for answer in together
    ]


def test_every_code_of_the_engine_is_one_of_the_contract() -> None:
    codes = [kind.code for kind in errors.EngineError.__subclasses__()]
    assert codes
    assert set(codes) <= {str(code) for code in ErrorCode}


def limited(reader: Reader, note: ProgressNote, results_bytes: int) -> BatchProcessor:
    return BatchProcessor(reader, MODEL, note, results_bytes=results_bytes, record_timeout_s=60)


ODD = "\x01\x02" * 100
"""A name of which each character takes six bytes in JSON."""


@pytest.mark.parametrize("names", [["a.png", "b.png"], [ODD, "ü" * 200], [str(n) for n in range(300)]])
@pytest.mark.parametrize("request_id", [None, "\x01" * 1_000])
def test_results_are_counted_at_their_largest_before_anything_is_read(
    reader: Reader, note: ProgressNote, names: list[str], request_id: str | None
) -> None:
    entries = [(name, DIGIT if index % 2 else b"no image") for index, name in enumerate(names)]
    record = task(zipped(entries), request_id=request_id, echo_bytes=5_000)
    (refused,) = limited(reader, note, 1).answer([record]).answers
    assert note.position() == (0, 0)
    counted = int(re.sub(r"\D", "", refused.failed_items[0].message.split(";")[0]))
    result = read_result(refused.results[0])
    assert result.error is not None
    assert (result.error.code, result.item.count, result.item.name) == ("results-too-large", 1, None)
    assert (refused.failed_items[0].whole, len(refused.failed_items)) == (True, 1)
    (just_refused,) = limited(reader, note, counted - 1).answer([record]).answers
    assert just_refused.failed_items[0].code == "results-too-large"
    for limit in (counted, counted + 1):
        (answer,) = limited(reader, note, limit).answer([record]).answers
        assert len(answer.results) == len(names)
        assert sum(len(each) + 5_000 for each in answer.results) < counted


def test_an_image_always_has_its_result(reader: Reader, note: ProgressNote) -> None:
    (answer,) = limited(reader, note, 1).answer([task(echo_bytes=5_000)]).answers
    assert read_result(answer.results[0]).error is None


def test_an_unfinished_batch_ends_as_it_would_have_in_one_slice(
    processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [
        task(),
        task(zipped([(f"{n}.png", DIGIT if n != 2 else b"junk") for n in range(5)]), offset=1),
        task(offset=2),
    ]
    whole = processor.answer(batch).answers
    monkeypatch.setattr(worker, "SLICE_S", -1.0)
    got: list[Answer] = []
    begin = BEGINNING
    while len(got) < 3 or begin != BEGINNING:
        rest = batch[len(got) - (begin != BEGINNING) :]
        part = processor.answer([msgspec.structs.replace(rest[0], resume_from=begin), *rest[1:]])
        (first,) = part.answers
        got = [*got[:-1], got[-1].followed_by(first)] if begin != BEGINNING else [*got, first]
        begin = part.unfinished or BEGINNING
    assert [[as_ever(each) for each in answer.results] for answer in got] == [
        [as_ever(each) for each in answer.results] for answer in whole
    ]
    assert [answer.failed_items for answer in got] == [answer.failed_items for answer in whole]
    assert [(a.recognised, a.unsure, a.size_bytes) for a in got] == [
        (a.recognised, a.unsure, a.size_bytes) for a in whole
    ]


def test_a_record_that_has_had_its_time_is_answered_without_touching_the_rest(
    reader: Reader, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SLICE_S", -1.0)
    hurried = BatchProcessor(reader, MODEL, note, results_bytes=EchoSettings().results_bytes, record_timeout_s=1e-9)
    archive = zipped((f"{place}.png", DIGIT) for place in range(3))
    first = hurried.answer([task(archive)])
    assert (first.unfinished or BEGINNING).spent_s > 0
    monkeypatch.setattr(worker, "SLICE_S", 60.0)
    rest = hurried.answer([task(archive, resume_from=first.unfinished)])
    assert rest.unfinished is None
    (answer,) = rest.answers
    results = [read_result(each) for each in (*first.answers[0].results, *answer.results)]
    assert [(result.item.index, result.item.count, result.error and result.error.code) for result in results] == [
        (0, 3, None),
        (1, 3, "record-timeout"),
        (2, 3, "record-timeout"),
    ]
    assert [letter.data for letter in answer.failed_items] == [DIGIT, DIGIT]


def test_a_partly_read_record_continues_where_it_stopped_also_after_others(processor: BatchProcessor) -> None:
    archive = zipped((f"{place}.png", DIGIT) for place in range(5))
    others = [task(archive, offset=at, resume_from=begin) for at, begin in ((1, ResumeCursor(2, 5)), (2, BEGINNING))]
    answers = processor.answer([task(offset=0), *others]).answers
    items = [[read_result(result).item for result in answer.results] for answer in answers]
    assert [(item.index, item.count, item.name) for item in items[1]] == [(n, 5, f"{n}.png") for n in (2, 3, 4)]
    assert [item.index for item in items[2]] == [0, 1, 2, 3, 4]


def as_ever(result: bytes) -> dict[str, Any]:
    """Read a result without the time of day."""
    found: dict[str, Any] = json.loads(result)
    return found | {"timing": None}


def test_an_entry_without_a_usable_name_is_dead_lettered_with_its_own_bytes(
    processor: BatchProcessor,
) -> None:
    answer = processor.answer([task(zipped([("x" * 256, DIGIT), ("b.png", DIGIT)]), filename="all.zip")]).answers[0]
    (letter,) = answer.failed_items
    assert (letter.code, letter.whole, letter.data, letter.name) == ("name-too-long", False, DIGIT, None)
    assert read_result(answer.results[0]).item.name is None


@pytest.mark.parametrize("payload", [b"no image", zipped([]), zipped([("a.png", DIGIT)])[:-30]])
def test_what_fails_as_a_whole_has_no_name(processor: BatchProcessor, payload: bytes) -> None:
    answer = processor.answer([task(payload, filename="all.zip")]).answers[0]
    assert read_result(answer.results[0]).item.name is None
    assert answer.failed_items[0].name is None


def test_a_single_image_that_fails_has_the_name_of_its_request(processor: BatchProcessor) -> None:
    answer = processor.answer([task(DIGIT[:-20], filename="zero.png")]).answers[0]
    assert read_result(answer.results[0]).item.name == answer.failed_items[0].name == "zero.png"


def test_a_workers_standard_error_shows_its_crash_and_no_decoder_output() -> None:
    script = (
        "import ctypes, os, sys; from consumer.workers.worker import _silence_stderr; _silence_stderr();"
        "os.write(2, b'\\x1b[31m from a decoder'); print('from Python', file=sys.stderr); ctypes.string_at(0)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGSEGV
    assert b"Segmentation fault" in ended.stderr
    assert b"\x1b" not in ended.stderr
    assert b"from" not in ended.stderr.replace(b"most recent call first", b"")
