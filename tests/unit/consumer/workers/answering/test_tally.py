"""What a part says of its readings: counts by sender, in bounded number."""

from __future__ import annotations

import msgspec
import pytest

from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.processes.checking import InvalidAnswerError, check_answers
from consumer.workers.progress_note import ProgressNote
from consumer.workers.tasks import MOST_SENDERS, OTHERS, Answer, Answers, Part, Timings
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.model.reference import HISTOGRAMS
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits, zipped
from tests.harness.raw_batches import Raw
from tests.harness.tasks import rules, task

DIGITS = drawn_digits(12)
SHA256 = "a" * 64


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


@pytest.fixture(scope="module")
def processor(reader: Reader) -> BatchProcessor:
    note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
    bins = Classifier.load(default_model()).bins
    model = {"name": "tested", "version": "1", "sha256": "0" * 64}
    return BatchProcessor(reader, model, note, rules(sender_header="sender"), manifest_sha256=SHA256, bins=bins)


def sent(*senders: str | None) -> list[Raw]:
    return [
        Raw(digit, headers=[("sender", sender.encode())] if sender is not None else [])
        for digit, sender in zip(DIGITS, senders, strict=False)
    ]


def read(processor: BatchProcessor, *records: Raw | bytes) -> list[Part]:
    given = task(*records)
    answers = processor.answer([given])
    check_answers(answers, [given])
    return answers.answers[0].parts


def readings(counts: list[int]) -> int:
    assert sum(counts) % len(HISTOGRAMS) == 0
    return sum(counts[:11])


def test_readings_are_counted_by_the_sender_that_the_header_names(processor: BatchProcessor) -> None:
    (part,) = read(processor, *sent("north", "south", "north", None, "x" * 101, ""))
    assert part.model == SHA256
    assert {sender: readings(counts) for sender, counts in part.readings.items()} == {
        "north": 2,
        "south": 1,
        OTHERS: 3,
    }


def test_failed_images_are_no_readings(processor: BatchProcessor) -> None:
    (part,) = read(processor, Raw(b"no image", headers=[("sender", b"north")]), *sent("south"))
    assert {sender: readings(counts) for sender, counts in part.readings.items()} == {"south": 1}
    assert part.failed == 1


def test_of_an_archive_each_entry_is_counted(processor: BatchProcessor) -> None:
    archive = zipped((f"{number}.png", digit) for number, digit in enumerate(DIGITS))
    (part,) = read(processor, Raw(archive, headers=[("sender", b"north")]))
    assert readings(part.readings["north"]) == len(DIGITS)


def test_a_part_counts_a_bounded_number_of_senders(processor: BatchProcessor) -> None:
    (part,) = read(processor, *sent(*(f"sender-{number}" for number in range(12))))
    assert len(part.readings) == MOST_SENDERS + 1
    assert readings(part.readings[OTHERS]) == 12 - MOST_SENDERS


def test_what_two_slices_count_of_a_record_is_added_up() -> None:
    first = Part(1, [], model=SHA256, readings={"north": [1, 2], "south": [1, 0]})
    rest = Part(1, [], model=SHA256, readings={"north": [3, 4]})
    assert first.followed_by(rest).readings == {"north": [4, 6], "south": [1, 0]}


@pytest.mark.parametrize(
    "counted", [{"north": [2] * 3}, {"x" * 101: [1] * 3}, {f"sender-{number}": [0] for number in range(12)}]
)
def test_a_worker_that_counts_otherwise_is_ended(processor: BatchProcessor, counted: dict[str, list[int]]) -> None:
    given = task(DIGITS[0])
    (part,) = read(processor, DIGITS[0])
    false = msgspec.structs.replace(part, readings=counted)
    with pytest.raises(InvalidAnswerError):
        check_answers(Answers([Answer([false])], Timings(0, 0, 0)), [given])
