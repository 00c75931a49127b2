"""What a worker answers to a batch of tasks, and what it notes meanwhile, in this process."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from consumer.settings import EchoSettings
from consumer.workers import tasks as slices
from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.batches import scanning
from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import WHOLE_BATCH, WHOLE_RECORD, Part, Task
from contract.errors import ErrorCode
from contract.records import Result, read_result
from engine import errors
from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture, decode
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from engine.resume_cursor import ResumeCursor
from models import default_model
from tests.harness.images import drawn_digits, zipped
from tests.harness.raw_batches import UNREADABLE, Raw
from tests.harness.tasks import dead_letters_of, raw_results, results_of, rules, task
from transport.batches.layout import HEADER_BYTES

DIGIT = drawn_digits(1)[0]
MODEL = {"name": "tested", "version": "1", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def reader() -> Reader:
    reader = Reader(Classifier.load(default_model()), Limits())
    reader.warm_up()
    scanning.warm_up()
    return reader


@pytest.fixture
def note() -> ProgressNote:
    note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
    note.clear()
    return note


@pytest.fixture
def processor(reader: Reader, note: ProgressNote) -> BatchProcessor:
    return BatchProcessor(reader, MODEL, note, rules())


def parts_of(processor: BatchProcessor, *tasks: Task) -> list[Part]:
    """Answer tasks in one slice; give all parts."""
    answers = processor.answer(list(tasks)).answers
    assert [answer.stopped for answer in answers] == [None] * len(tasks)
    return [part for answer in answers for part in answer.parts]


def test_a_result_has_all_fields_of_the_contract(processor: BatchProcessor) -> None:
    headers = [("request-id", b"order-7"), ("filename", b"zero.png")]
    (part,) = parts_of(processor, task(Raw(DIGIT, headers=headers), offset=7))
    (result,) = results_of([part])
    assert result.result_id == "requests/3/7/0"
    assert result.request_id == "order-7"
    assert result.source.model_dump() == {"topic": "requests", "partition": 3, "offset": 7, "timestamp_ms": 1_000}
    assert result.item.model_dump() == {"index": 0, "count": 1, "name": "zero.png"}
    assert result.model.model_dump() == MODEL
    assert result.timing.received_at_ms == 2_000
    assert (result.error, part.failures, part.dead_letters) == (None, {}, [])
    assert (part.recognised, part.unsure) == ((1, 0) if result.status == "recognised" else (0, 1))
    assert (part.next_offset, part.records, part.record_bytes, part.oldest_at_ms) == (8, 1, len(DIGIT), 1_000)


def test_a_request_without_an_id_is_identified_by_its_position(processor: BatchProcessor) -> None:
    assert results_of(parts_of(processor, task(DIGIT, offset=7)))[0].request_id == "requests/3/7"


@pytest.mark.parametrize("compacted", [True, False])
def test_one_bad_record_of_a_task_fails_alone(processor: BatchProcessor, *, compacted: bool) -> None:
    (part,) = parts_of(processor, task(DIGIT, b"no image", DIGIT, compacted=compacted))
    results = results_of([part])
    assert [result.digit is None for result in results] == [False, True, False]
    assert [result.source.offset for result in results] == [0, 1, 2]
    ((record, letter),) = dead_letters_of([part])
    assert (letter.error_code, letter.origin_offset, record.value) == ("unknown-format", 1, b"no image")
    assert part.failures == {"unknown-format": 1}


def test_only_records_between_the_two_offsets_are_read(processor: BatchProcessor) -> None:
    whole = task(*[DIGIT] * 5, offset=10, compacted=True)
    first, second = whole.between(10, 12), whole.between(12, 14)
    assert [len(each.batches) for each in (first, second)] == [1, 1]
    parts = parts_of(processor, first, second)
    assert [part.next_offset for part in parts] == [12, 14]
    assert [[each.source.offset for each in results_of([part])] for part in parts] == [[10, 11], [12, 13]]


def test_a_task_of_which_no_record_is_left_has_a_part_without_results(processor: BatchProcessor) -> None:
    nothing = msgspec.structs.replace(task(DIGIT, DIGIT, compacted=True), first_offset=2, next_offset=9)
    (part,) = parts_of(processor, nothing)
    assert (part.next_offset, part.records, part.results) == (9, 0, [])


def test_what_is_committed_may_lie_after_the_last_record(processor: BatchProcessor) -> None:
    markers_after = msgspec.structs.replace(task(DIGIT), next_offset=5)
    assert [part.next_offset for part in parts_of(processor, markers_after)] == [5]


def test_a_record_that_cannot_be_parsed_is_answered_without_its_value(processor: BatchProcessor) -> None:
    (part,) = parts_of(processor, task(DIGIT, Raw(DIGIT, headers=[(UNREADABLE, b"")]), DIGIT, compacted=True))
    assert [result.error and result.error.code for result in results_of([part])] == [None, "unreadable-record", None]
    ((record, letter),) = dead_letters_of([part])
    assert (record.key, record.value, letter.origin_offset) == (None, None, 1)
    assert letter.value_left_out == "the record has no value that could be read"
    assert part.unread is not None
    assert (part.unread.count, part.unread.first_offset) == (1, 1)
    assert part.unread.why.startswith("'utf-8' codec can't decode")


def test_a_batch_that_was_not_sent_is_answered_record_by_record(processor: BatchProcessor) -> None:
    whole = task(DIGIT, DIGIT, DIGIT, compacted=True)
    (part,) = parts_of(processor, msgspec.structs.replace(whole, batches=[whole.batches[0][:HEADER_BYTES]]))
    assert part.failures == {"unreadable-record": 3}
    assert [result.source.offset for result in results_of([part])] == [0, 1, 2]
    assert part.unread is not None
    assert "more than a worker can receive" in part.unread.why


def test_a_batch_that_has_ended_a_worker_is_not_inflated_again(processor: BatchProcessor) -> None:
    whole = task(DIGIT, DIGIT, compacted=True, quarantined={1: {WHOLE_BATCH: "worker-crashed"}})
    (part,) = parts_of(processor, whole)
    assert part.failures == {"worker-crashed": 2}
    assert [record.value for record, _ in dead_letters_of([part])] == [None, None]


def test_a_sound_image_that_opencv_has_no_memory_for_is_not_called_damaged(
    processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imdecode(*_: object) -> None:
        error = cv2.error("Failed to allocate")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    coloured = cv2.imencode(".png", np.zeros((28, 28, 3), np.uint8))[1].tobytes()
    assert parts_of(processor, task(coloured))[0].failures == {"out-of-memory": 1}


def test_entries_are_answered_in_order_and_a_bad_one_fails_alone(processor: BatchProcessor) -> None:
    entries = [("b.png", DIGIT), ("a.txt", b"no image"), ("c.png", DIGIT)]
    parts = parts_of(processor, task(zipped(entries)))
    results = results_of(parts)
    assert [(each.item.index, each.item.count, each.item.name) for each in results] == [
        (0, 3, "b.png"),
        (1, 3, "a.txt"),
        (2, 3, "c.png"),
    ]
    assert [each.status == "failed" for each in results] == [False, True, False]
    ((record, letter),) = dead_letters_of(parts)
    assert (letter.item_index, letter.item_name, record.value) == (1, "a.txt", b"no image")


def test_an_archive_is_a_part_by_itself(processor: BatchProcessor) -> None:
    archive = zipped([("a.png", DIGIT), ("b.png", DIGIT)])
    parts = parts_of(processor, task(DIGIT, b"junk", archive, archive, DIGIT, b"MZ" + archive, DIGIT, Raw(None)))
    assert [(part.next_offset, part.records) for part in parts] == [(2, 2), (3, 1), (4, 1), (5, 1), (6, 1), (8, 2)]
    assert [len(results_of([part])) for part in parts] == [2, 2, 2, 1, 2, 2]


def test_what_may_not_be_touched_is_answered_with_its_verdict(processor: BatchProcessor) -> None:
    quarantined = {1: {0: str(ErrorCode.WORKER_CRASHED)}, 2: {WHOLE_RECORD: str(ErrorCode.WORKER_TIMEOUT)}}
    records: list[Raw | bytes] = [Raw(DIGIT, key=b"k" * 5_000), DIGIT, zipped([("a.png", DIGIT)]), DIGIT]
    (part,) = parts_of(processor, task(*records, quarantined=quarantined))
    assert [json.loads(result)["error"] for result in raw_results([part])] == [
        {"code": code, "message": ErrorCode(code).sentence}
        for code in ("key-too-large", "worker-crashed", "worker-timeout")
    ] + [None]
    assert [record.value for record, _ in dead_letters_of([part])] == [DIGIT, DIGIT, records[2]]


def test_an_entry_that_must_not_be_read_is_dead_lettered_with_its_bytes(processor: BatchProcessor) -> None:
    archive = zipped([("a.png", DIGIT), ("poison.png", b"bytes that crash"), ("c.png", DIGIT)])
    parts = parts_of(processor, task(archive, quarantined={0: {1: str(ErrorCode.WORKER_TIMEOUT)}}))
    assert [each.status == "failed" for each in results_of(parts)] == [False, True, False]
    ((record, letter),) = dead_letters_of(parts)
    assert (letter.error_code, letter.item_name, record.value) == ("worker-timeout", "poison.png", b"bytes that crash")


def test_an_archive_of_junk_does_not_come_out_many_times_its_size(processor: BatchProcessor) -> None:
    junk = b"".join(b"%06d" % number + b" " * 94 for number in range(5_000))
    archive = zipped([(f"{index}.txt", junk) for index in range(20)])
    assert 20 * len(junk) > 2 * len(archive) + 100_000
    letters = dead_letters_of(parts_of(processor, task(archive)))
    kept = [record.value for record, _ in letters if record.value is not None]
    assert len(letters) == 20
    assert 0 < sum(map(len, kept)) < 2 * len(archive) + 100_000
    assert set(kept) == {junk}
    reasons = {letter.value_left_out for record, letter in letters if record.value is None}
    assert reasons == {"the failed entries of this archive take more than 2 times its own bytes"}


def test_the_note_names_task_offset_and_item(processor: BatchProcessor, note: ProgressNote) -> None:
    processor.answer([task(b"", offset=1), task(b"", DIGIT, b"", offset=7, isolate=True)])
    assert note.position() == (1, 8, 0)


def test_a_compressed_batch_is_noted_before_it_is_inflated(
    processor: BatchProcessor, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []

    def inflate(data: memoryview, *_: object, **__: object) -> memoryview:
        noted.append(note.position())
        return data.toreadonly()

    monkeypatch.setattr(scanning, "inflate", inflate)
    whole = task(DIGIT, DIGIT, DIGIT, offset=7, compacted=True)
    compressed = bytearray(whole.batches[0])
    compressed[22] |= 4
    part = msgspec.structs.replace(whole.between(8, 10), batches=[memoryview(compressed)])
    assert [result.digit is None for result in results_of(parts_of(processor, part))] == [False, False]
    assert noted == [(0, 8, WHOLE_BATCH)]


def test_refused_records_alone_are_answered_without_a_note(processor: BatchProcessor, note: ProgressNote) -> None:
    assert len(parts_of(processor, task(b""))) == 1
    assert note.position() is None


def test_the_note_marks_when_many_items_are_read_at_once(processor: BatchProcessor, note: ProgressNote) -> None:
    processor.answer([task(DIGIT, b"no image")])
    assert (note.position(), note.is_on_many_items()) == (None, True)


def test_isolated_items_are_noted_by_name_and_have_the_same_results(
    processor: BatchProcessor, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [task(DIGIT), task(zipped([(f"{index}.png", DIGIT) for index in range(5)]), b"junk", offset=1)]
    together = parts_of(processor, *batch)
    touched = []
    see = Classifier.prepare

    def noted(self: Classifier, pictures: Sequence[Picture]) -> Canvas:
        touched.append((note.position(), len(pictures)))
        return see(self, pictures)

    monkeypatch.setattr(Classifier, "prepare", noted)
    apart = parts_of(processor, batch[0], msgspec.structs.replace(batch[1], isolate=True))
    assert touched == [((0, 0, 0), 1), *(((1, 1, index), 1) for index in range(5))]
    assert note.position() == (1, 2, 0)
    assert as_ever(apart) == as_ever(together)


def test_every_code_of_the_engine_is_one_of_the_contract() -> None:
    codes = [kind.code for kind in errors.EngineError.__subclasses__()]
    assert codes
    assert set(codes) <= {str(code) for code in ErrorCode}


def limited(reader: Reader, note: ProgressNote, results_bytes: int) -> BatchProcessor:
    limits = rules(echo=EchoSettings(key_bytes=10_000, header_bytes=10_000))
    return BatchProcessor(reader, MODEL, note, msgspec.structs.replace(limits, results_bytes=results_bytes))


ODD = "\x01\x02" * 100
"""A name of which each character takes six bytes in JSON."""


@pytest.mark.parametrize("names", [["a.png", "b.png"], [ODD, "ü" * 200], [str(n) for n in range(300)]])
@pytest.mark.parametrize("request_id", [b"", b"\x01" * 1_000])
def test_results_are_counted_at_their_largest_before_anything_is_read(
    reader: Reader, note: ProgressNote, names: list[str], request_id: bytes
) -> None:
    entries = [(name, DIGIT if index % 2 else b"no image") for index, name in enumerate(names)]
    headers = [("request-id", request_id)] if request_id else []
    record = task(Raw(zipped(entries), key=b"k" * 5_000, headers=headers))
    (refused,) = parts_of(limited(reader, note, 1), record)
    assert note.position() == (0, 0, 0)
    ((_, letter),) = dead_letters_of([refused])
    counted = int(re.sub(r"\D", "", letter.error_message.split(";")[0]))
    (result,) = results_of([refused])
    assert result.error is not None
    assert (result.error.code, result.item.count, result.item.name) == ("results-too-large", 1, None)
    (just_refused,) = parts_of(limited(reader, note, counted - 1), record)
    assert just_refused.failures == {"results-too-large": 1}
    for limit in (counted, counted + 1):
        (part,) = parts_of(limited(reader, note, limit), record)
        assert len(raw_results([part])) == len(names)
        assert sum(map(len, part.results)) < counted


def test_an_image_always_has_its_result(reader: Reader, note: ProgressNote) -> None:
    (part,) = parts_of(limited(reader, note, 1), task(Raw(DIGIT, key=b"k" * 5_000)))
    assert results_of([part])[0].error is None


def in_slices(processor: BatchProcessor, rest: Task) -> list[Part]:
    """Answer a task slice by slice, and join the parts as the service does."""
    parts: list[Part] = []
    is_open = False
    while True:
        (answer,) = processor.answer([rest]).answers
        first, *others = answer.parts
        parts = [*parts[:-1], parts[-1].followed_by(first), *others] if is_open else [*parts, first, *others]
        if answer.stopped is None:
            return parts
        is_open = bool(answer.stopped.cursor.items)
        rest = rest.resumed(answer.stopped)


def test_a_task_in_slices_ends_as_it_would_have_in_one(
    processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped([(f"{n}.png", DIGIT if n != 2 else b"junk") for n in range(5)])
    whole_task = task(DIGIT, DIGIT, archive, b"", DIGIT, compacted=True)
    whole = parts_of(processor, whole_task)
    monkeypatch.setattr(slices, "SLICE_S", -1.0)
    parts = in_slices(processor, whole_task)
    assert [part.next_offset for part in parts] == [1, 2, 3, 4, 5]
    assert as_ever(parts) == as_ever(whole)
    assert dead_letters_of(parts) == dead_letters_of(whole)
    for field in ("records", "record_bytes", "recognised", "unsure", "results_bytes", "dead_letters_bytes"):
        assert sum(getattr(part, field) for part in parts) == sum(getattr(part, field) for part in whole)
    assert [part.failures for part in parts] == [{}, {}, {"unknown-format": 1}, {"empty-record": 1}, {}]


def test_a_slice_ends_when_much_is_written(processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.workers.answering.slices.OUTPUT_BYTES", 1_000)
    monkeypatch.setattr("consumer.workers.answering.groups.GROUP_RECORDS", 4)
    (answer,) = processor.answer([task(*[b""] * 10, compacted=True)]).answers
    assert answer.stopped is not None
    assert (answer.stopped.offset, answer.parts[-1].next_offset) == (4, 4)


def test_dead_letters_of_a_record_are_limited_over_all_of_its_slices(
    reader: Reader, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = rules(echo=EchoSettings(dead_letters_bytes=100_000))
    processor = BatchProcessor(reader, MODEL, note, limits)
    archive = zipped([(f"{n}.txt", random.Random(n).randbytes(30_000)) for n in range(5)])  # noqa: S311  # not a secret
    whole = dead_letters_of(parts_of(processor, task(archive)))
    assert [record.value is None for record, _ in whole] == [False, False, False, True, True]
    monkeypatch.setattr(slices, "SLICE_S", -1.0)
    assert dead_letters_of(in_slices(processor, task(archive))) == whole


def test_a_record_that_has_had_its_time_is_answered_without_touching_the_rest(
    reader: Reader, note: ProgressNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_S", -1.0)
    hurried = BatchProcessor(reader, MODEL, note, rules(record_timeout_s=1e-9))
    archive = task(zipped((f"{place}.png", DIGIT) for place in range(3)))
    (first,) = hurried.answer([archive]).answers
    assert first.stopped is not None
    assert first.stopped.cursor.spent_s > 0
    monkeypatch.setattr(slices, "SLICE_S", 60.0)
    (rest,) = hurried.answer([archive.resumed(first.stopped)]).answers
    assert rest.stopped is None
    results = results_of([*first.parts, *rest.parts])
    assert [(result.item.index, result.item.count, result.error and result.error.code) for result in results] == [
        (0, 3, None),
        (1, 3, "record-timeout"),
        (2, 3, "record-timeout"),
    ]
    assert [record.value for record, _ in dead_letters_of(rest.parts)] == [DIGIT, DIGIT]


def test_a_partly_read_record_continues_where_it_stopped_also_after_others(processor: BatchProcessor) -> None:
    archive = zipped((f"{place}.png", DIGIT) for place in range(5))
    resumed = task(archive, DIGIT, offset=1, resume_from=ResumeCursor(2, 5))
    parts = parts_of(processor, task(DIGIT, offset=0), resumed, task(archive, offset=3))
    items = [[result.item for result in results_of([part])] for part in parts]
    assert [(item.index, item.count, item.name) for item in items[1]] == [(n, 5, f"{n}.png") for n in (2, 3, 4)]
    assert [(item.index, item.count) for item in items[2]] == [(0, 1)]
    assert [item.index for item in items[3]] == [0, 1, 2, 3, 4]


def as_ever(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Read results without the time of day."""
    return [json.loads(result) | {"timing": None} for result in raw_results(parts)]


def test_an_entry_without_a_usable_name_is_dead_lettered_with_its_own_bytes(processor: BatchProcessor) -> None:
    archive = zipped([("x" * 256, DIGIT), ("b.png", DIGIT)])
    parts = parts_of(processor, task(Raw(archive, headers=[("filename", b"all.zip")])))
    ((record, letter),) = dead_letters_of(parts)
    assert (letter.error_code, record.value, letter.item_name) == ("name-too-long", DIGIT, None)
    assert results_of(parts)[0].item.name is None


@pytest.mark.parametrize("payload", [b"no image", zipped([]), zipped([("a.png", DIGIT)])[:-30]])
def test_what_fails_as_a_whole_has_no_name(processor: BatchProcessor, payload: bytes) -> None:
    parts = parts_of(processor, task(Raw(payload, headers=[("filename", b"all.zip")])))
    assert results_of(parts)[0].item.name is None
    assert dead_letters_of(parts)[0][1].item_name is None


def test_a_single_image_that_fails_has_the_name_of_its_request(processor: BatchProcessor) -> None:
    parts = parts_of(processor, task(Raw(DIGIT[:-20], headers=[("filename", b"zero.png")])))
    assert results_of(parts)[0].item.name == dead_letters_of(parts)[0][1].item_name == "zero.png"


@pytest.mark.parametrize("reports", [True, False])
def test_failed_items_and_sampled_records_are_reported_if_they_are_wanted(
    reader: Reader, note: ProgressNote, *, reports: bool
) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0%d"
    records = [Raw(b"junk", headers=[("traceparent", trace % n), ("request-id", b"r")]) for n in (0, 1)]
    limits = rules(reports_failed_items=reports, reports_sampled=reports)
    (part,) = parts_of(BatchProcessor(reader, MODEL, note, limits), task(*records))
    assert part.sampled_records == 1
    assert [(item.offset, item.request_id, item.code) for item in part.failed_items] == (
        [(0, "r", "unknown-format"), (1, "r", "unknown-format")] if reports else []
    )
    assert [(each.offset, each.items, each.failed, each.code) for each in part.sampled] == (
        [(1, 1, 1, "unknown-format")] if reports else []
    )


def test_each_result_is_read_strictly(processor: BatchProcessor) -> None:
    parts = parts_of(processor, task(*drawn_digits(20)))
    assert len([read_result(result) for result in raw_results(parts)]) == 20


SHOWN = [("seen", b"true")]


def test_a_sender_who_asks_gets_the_picture_that_the_model_saw(reader: Reader, note: ProgressNote) -> None:
    blank = cv2.imencode(".png", np.full((40, 40), 255, np.uint8))[1].tobytes()
    processor = BatchProcessor(reader, MODEL, note, rules())
    records: list[Raw | bytes] = [Raw(DIGIT, headers=SHOWN), DIGIT]
    records += (Raw(blank, headers=SHOWN), Raw(b"no image", headers=SHOWN))
    digit, other, unsure, failed = results_of(parts_of(processor, task(*records, compacted=True)))
    expected = Classifier.load(default_model()).prepare([decode(DIGIT, Limits())]).digits[0]
    np.testing.assert_array_equal(pixels_of(digit), np.rint(expected * 255))
    assert other.seen is None
    assert unsure.status == "unsure"
    assert not pixels_of(unsure).any()
    assert (failed.status, failed.seen) == ("failed", None)


def test_the_result_of_a_sender_who_does_not_ask_has_the_bytes_that_it_always_had(processor: BatchProcessor) -> None:
    plain, hostile, asked = raw_results(
        parts_of(processor, task(DIGIT, Raw(DIGIT, headers=[("seen", b"yes\xff")]), Raw(DIGIT, headers=SHOWN)))
    )
    for value in (plain, hostile):
        fields = json.loads(value)
        assert list(fields)[-2:] == ["model", "timing"]
        assert "seen" not in fields
    last = json.loads(asked)
    assert list(last)[-1] == "seen"
    assert len(asked) - len(plain) == len(',"seen":""') + len(last["seen"])


def test_the_results_of_an_archive_have_no_pictures_and_no_lower_limit(reader: Reader, note: ProgressNote) -> None:
    archive = zipped([(f"{number}.png", DIGIT) for number in range(50)])
    bounds = rules(echo=EchoSettings(results_bytes=64 * 1024))
    processor = BatchProcessor(reader, MODEL, note, bounds)
    asked, plain = (parts_of(processor, task(Raw(archive, headers=headers))) for headers in (SHOWN, []))
    assert [part.results_bytes for part in asked] == [part.results_bytes for part in plain]
    results = results_of(asked)
    assert len(results) == 50
    assert all(result.digit is not None and result.seen is None for result in results)


def test_the_largest_picture_that_the_model_sees_is_as_small_as_the_limits_say(
    monkeypatch: pytest.MonkeyPatch, processor: BatchProcessor
) -> None:
    noise = np.random.default_rng(0).random((28, 28), np.float32)
    monkeypatch.setattr(Classifier, "prepare", lambda *_: Canvas(noise[None], np.zeros((1, 12), np.float32)))
    (result,) = results_of(parts_of(processor, task(Raw(DIGIT, headers=SHOWN))))
    assert result.seen is not None
    assert 1_000 < len(result.seen) < 1.2 * 1024


def test_a_dead_letter_keeps_the_wish_so_that_its_replay_shows_what_the_model_saw(processor: BatchProcessor) -> None:
    archive = zipped([("damaged.png", DIGIT[:60]), ("good.png", DIGIT)])
    ((_, letter),) = dead_letters_of(parts_of(processor, task(Raw(archive, headers=SHOWN))))
    replay = [*letter.original_headers, ("replay-of", b"requests/3/0/0")]
    (result,) = results_of(parts_of(processor, task(Raw(DIGIT, headers=replay))))
    assert pixels_of(result).any()


def pixels_of(result: Result) -> NDArray[np.uint8]:
    """Return the pixels that the model saw."""
    assert result.seen is not None
    pixels = decode(base64.b64decode(result.seen, validate=True), Limits()).pixels
    assert pixels.shape == (28, 28)
    return pixels
