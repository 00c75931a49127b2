"""Which pictures the challenger reads: a share that depends on nothing but their places."""

from __future__ import annotations

import pytest

from consumer.workers.answering.processor import BatchProcessor
from consumer.workers.challenge import sampling
from consumer.workers.challenge.challenger import Challenger
from consumer.workers.challenge.report import Challenged
from consumer.workers.challenge.sampling import is_sampled
from consumer.workers.progress_note import ProgressNote
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits, zipped
from tests.harness.raw_batches import Raw
from tests.harness.tasks import raw_results, rules, task

MODEL = {"name": "tested", "version": "1", "sha256": "0" * 64}
DIGITS = drawn_digits(10)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(default_model())


def processor(classifier: Classifier, share: float = 1, *, with_challenger: bool = True) -> BatchProcessor:
    note = ProgressNote(memoryview(bytearray(ProgressNote.SIZE_BYTES)))
    challenger = Challenger(classifier, Limits(), keeps_disputed=True) if with_challenger else None
    return BatchProcessor(Reader(classifier, Limits()), MODEL, note, rules(challenger_share=share), challenger)


def compared(report: Challenged) -> int:
    return sum(pair.count for pair in report.compared)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_is_kept_over_offsets_items_and_partitions(share: float) -> None:
    by_offset = sum(is_sampled(3, offset, 0, share) for offset in range(10_000))
    by_item = sum(is_sampled(0, 7, item, share) for item in range(10_000))
    by_partition = sum(is_sampled(partition, 7, 0, share) for partition in range(10_000))
    assert [by_offset, by_item, by_partition] == pytest.approx([share * 10_000] * 3, abs=200 if 0 < share < 1 else 0)


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    assert all(is_sampled(0, offset, 0, 0.5) for offset in range(1_000) if is_sampled(0, offset, 0, 0.1))


def test_the_same_pictures_are_sampled_however_they_are_cut_into_batches(classifier: Classifier) -> None:
    def places(*batches: tuple[int, list[bytes]]) -> int:
        reading = processor(classifier, 0.5)
        total = 0
        for offset, payloads in batches:
            reading.answer([task(*payloads, offset=offset)])
            total += compared(reading.challenge(lambda: False))
        return total

    expected = sum(is_sampled(3, offset, 0, 0.5) for offset in range(10))
    assert places((0, DIGITS)) == places((0, DIGITS[:4]), (4, DIGITS[4:])) == expected


def test_nothing_is_read_by_the_challenger_before_the_answer_is_there(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    honest = Challenger._read

    def noted(self: Challenger, pictures: list[bytes]) -> object:
        steps.append("challenge")
        return honest(self, pictures)

    monkeypatch.setattr(Challenger, "_read", noted)
    reading = processor(classifier)
    answers = reading.answer([task(*DIGITS)])
    steps.append("answer")
    assert answers.is_challenged
    reading.challenge(lambda: False)
    assert steps[0] == "answer"
    assert "challenge" in steps


def test_the_answers_are_the_same_bytes_with_and_without_a_challenger(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.workers.answering.parts.time.time_ns", lambda: 10**18)
    payloads = [*DIGITS, zipped([("a.png", DIGITS[0]), ("b.png", b"no picture")]), b"", b"no picture"]
    with_it, without = (
        processor(classifier, with_challenger=each).answer([task(*payloads)]).answers for each in (True, False)
    )
    assert raw_results(with_it[0].parts) == raw_results(without[0].parts)
    assert [part.results for part in with_it[0].parts] == [part.results for part in without[0].parts]
    assert [part.dead_letters for part in with_it[0].parts] == [part.dead_letters for part in without[0].parts]


def test_pictures_of_archives_are_challenged_and_what_failed_is_not(classifier: Classifier) -> None:
    archive = zipped([("a.png", DIGITS[0]), ("b.png", b"no picture"), ("c.png", DIGITS[1])])
    reading = processor(classifier)
    reading.answer([task(archive, b"no picture", DIGITS[2])])
    assert compared(reading.challenge(lambda: False)) == 3


def test_a_canary_is_not_challenged(classifier: Classifier) -> None:
    assert not processor(classifier).answer([task(*DIGITS, partition=-1)]).is_challenged


def test_what_waits_is_bounded_and_the_rest_is_counted_as_skipped(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "KEPT_BYTES", sum(map(len, DIGITS[:3])))
    reading = processor(classifier)
    reading.answer([task(*DIGITS[:3], *[DIGITS[9] + bytes(2**20)])])
    report = reading.challenge(lambda: False)
    assert (compared(report), report.skipped) == (3, {"size": 1})


def test_a_disagreement_carries_the_request_and_the_name(classifier: Classifier) -> None:
    reading = processor(classifier)
    headers = [("request-id", b"mine"), ("filename", b"a.png")]
    reading.answer([task(Raw(DIGITS[0], headers=headers), offset=5)])
    (sample,) = reading._samples.waiting
    assert (sample.partition, sample.offset, sample.item) == (3, 5, 0)
    assert (sample.request_id, sample.name, sample.data) == ("mine", "a.png", DIGITS[0])
