"""What a challenge does with the pictures that wait, and what it reports."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from consumer.workers.challenge.challenger import MOST_PICTURES, Challenger
from consumer.workers.challenge.report import REPORT, Challenged, Compared
from consumer.workers.challenge.sampling import Sample, Samples
from consumer.workers.protocol import LENGTH, frame
from engine.canvas.pipeline import Canvas
from engine.limits import Limits
from engine.model.classifier import Classifier, Reading
from engine.reader import Outcome
from models import default_model
from tests.harness.images import drawn_digits

CERTAIN = Reading("recognised", 7, 0.5, [0.1] * 10, None)
UNSURE = Reading("unsure", 7, 0.25, [0.1] * 10, "low-confidence")
DIGIT = drawn_digits(1)[0]


class Says:
    """A classifier that answers with these readings, one after the other."""

    def __init__(self, *readings: Reading | Exception) -> None:
        self._readings = itertools.cycle(readings)
        self._honest = Classifier.load(default_model())
        self.asked: list[int] = []

    def prepare(self, pictures: Sequence[Any]) -> Canvas:
        self.asked.append(len(pictures))
        return self._honest.prepare(pictures)

    def classify(self, canvas: Canvas) -> list[Reading]:
        readings = list(itertools.islice(self._readings, len(canvas.digits)))
        for each in readings:
            if isinstance(each, Exception):
                raise each
        return cast("list[Reading]", readings)


def samples(*readings: Reading, data: bytes = DIGIT) -> Samples:
    made = Samples(1.0)
    made.waiting = [
        Sample(3, number, 0, f"request {number}", None, data, Outcome("image", reading=reading))
        for number, reading in enumerate(readings)
    ]
    return made


def challenge(says: Says, of: Samples, *, keeps_disputed: bool = True) -> Challenged:
    challenger = Challenger(cast("Classifier", says), Limits(), keeps_disputed=keeps_disputed)
    report = challenger.challenge(of, lambda: False)
    assert REPORT.decode(bytes(frame(report))[LENGTH.size :]) == report, "it travels as it is"
    return report


def counts(report: Challenged) -> dict[tuple[str, str], int]:
    return {(each.champion, each.challenger): each.count for each in report.compared}


def test_answers_are_counted_by_pair_and_confidences_are_added() -> None:
    other = CERTAIN._replace(digit=1, confidence=0.75)
    report = challenge(
        Says(CERTAIN, other, UNSURE, UNSURE._replace(digit=2)), samples(CERTAIN, CERTAIN, CERTAIN, UNSURE)
    )
    assert counts(report) == {("7", "7"): 1, ("7", "1"): 1, ("7", "unsure"): 1, ("unsure", "unsure"): 1}
    assert (report.champion_confidence, report.challenger_confidence) == (1.75, 1.75)
    assert report.seconds > 0


def test_two_that_are_unsure_agree_and_other_differences_are_disputed() -> None:
    report = challenge(
        Says(CERTAIN._replace(digit=1), UNSURE, UNSURE), samples(CERTAIN, CERTAIN, UNSURE._replace(digit=1))
    )
    assert [each.offset for each in report.disputed] == [0, 1]
    first = report.disputed[0]
    assert (first.champion.digit, first.challenger.digit, first.request_id, first.data) == (7, 1, "request 0", DIGIT)
    assert report.disputed[1].challenger.reason == "low-confidence"


def test_without_a_topic_no_bytes_are_reported() -> None:
    report = challenge(Says(CERTAIN._replace(digit=1)), samples(CERTAIN), keeps_disputed=False)
    assert (counts(report), report.disputed) == ({("7", "1"): 1}, [])


@pytest.mark.parametrize("wrong", [CERTAIN._replace(confidence=float("nan")), RuntimeError("a bug"), MemoryError()])
def test_a_challenger_that_fails_or_gives_no_number_is_counted_and_nothing_else(wrong: Any) -> None:
    report = challenge(Says(wrong), samples(CERTAIN, UNSURE))
    assert counts(report) == {("7", "failed"): 1, ("unsure", "failed"): 1}
    assert (report.champion_confidence, report.disputed, report.is_sound) == (0, [], True)


def test_a_challenge_ends_before_the_next_step_when_the_worker_is_wanted() -> None:
    says = Says(CERTAIN)
    wanted = iter([False, False, True])
    challenger = Challenger(cast("Classifier", says), Limits(), keeps_disputed=True, clock=itertools.count().__next__)
    report = challenger.challenge(samples(*[CERTAIN] * 10), lambda: next(wanted))
    assert (says.asked, counts(report), report.skipped) == ([1, 1], {("7", "7"): 2}, {"load": 8})


def test_steps_grow_where_pictures_are_quick_and_shrink_where_they_are_slow() -> None:
    took = iter([0.0001, 0.0064, 0.1, 0.1])
    now, asked_s = 0.0, []

    def clock() -> float:
        nonlocal now
        asked_s.append(now)
        now += next(took, 0.1) if len(asked_s) % 2 else 0
        return now if len(asked_s) % 2 == 0 else asked_s[-1]

    says = Says(CERTAIN)
    challenger = Challenger(cast("Classifier", says), Limits(), keeps_disputed=True, clock=clock)
    challenger.challenge(samples(*[CERTAIN] * 50), lambda: False)
    assert says.asked[:3] == [1, 20, 6]
    assert says.asked[3] == 1
    assert max(says.asked) <= MOST_PICTURES


def test_a_worker_that_is_wanted_at_once_reads_nothing() -> None:
    says = Says(CERTAIN)
    challenger = Challenger(cast("Classifier", says), Limits(), keeps_disputed=True)
    report = challenger.challenge(samples(CERTAIN, CERTAIN), lambda: True)
    assert (says.asked, report.skipped) == ([], {"load": 2})


def test_a_picture_with_many_pixels_is_skipped() -> None:
    large = cv2.imencode(".png", np.full((1_100, 1_000), 255, np.uint8))[1].tobytes()
    report = challenge(Says(CERTAIN), samples(CERTAIN, data=large))
    assert (counts(report), report.skipped) == ({}, {"size": 1})


def test_an_item_without_a_champions_reading_is_left_alone() -> None:
    of = samples(CERTAIN)
    of.waiting[0].outcome.reading = None
    assert counts(challenge(Says(CERTAIN), of)) == {}


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), -1.0])
def test_a_report_with_impossible_numbers_is_not_sound(spoilt: float) -> None:
    assert not Challenged([Compared("1", "1", 1)], champion_confidence=spoilt).is_sound


def test_what_was_skipped_before_is_reported_too() -> None:
    of = samples(CERTAIN)
    of.skipped = Counter({"size": 2})
    assert challenge(Says(CERTAIN), of).skipped == {"size": 2}


def test_a_decoder_that_is_unsound_is_not_believed() -> None:
    named = SimpleNamespace(compared=[("10", "1", 1)])
    with pytest.raises(Exception, match="Invalid enum value"):
        REPORT.decode(bytes(frame([named.compared]))[LENGTH.size :])
