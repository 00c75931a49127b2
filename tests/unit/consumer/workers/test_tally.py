"""Which answers of a model are counted, and for how long."""

from __future__ import annotations

import pytest

from consumer.workers.tally import HALF_LIFE_S, MOST_OF_A_RECORD, Tally
from consumer.workers.tasks import Part
from contract.errors import ErrorCode


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def of_single_images(recognised: int, unsure: int, **failures: int) -> Part:
    return Part(0, [], records=1_000, recognised=recognised, unsure=unsure, failures=failures)


def test_unsure_answers_and_faults_of_the_model_are_bad() -> None:
    tally = Tally(Clock())
    tally.count([of_single_images(90, 6), Part(0, [], records=4, failures={ErrorCode.WORKER_CRASHED: 4})])
    assert (tally.answers, tally.bad, tally.share) == (100, 10, 0.1)


def test_images_that_no_model_has_seen_do_not_count() -> None:
    tally = Tally(Clock())
    tally.count([Part(0, [], records=1_000, recognised=1, failures={ErrorCode.DAMAGED_IMAGE: 999})])
    assert (tally.answers, tally.bad) == (1, 0)
    tally.count([Part(0, [], records=1, failures={ErrorCode.UNKNOWN_FORMAT: 1})])
    assert tally.answers == 1


@pytest.mark.parametrize("records", [0, 1], ids=["a slice of it", "its end"])
def test_an_archive_of_a_thousand_images_counts_as_a_few(records: int) -> None:
    tally = Tally(Clock())
    tally.count([Part(0, [], records=records, recognised=250, unsure=750)])
    assert (tally.answers, tally.share) == (MOST_OF_A_RECORD, 0.75)


def test_older_answers_count_less() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.count([of_single_images(0, 100)])
    clock.now_s += HALF_LIFE_S
    tally.count([of_single_images(100, 0)])
    assert (tally.answers, tally.bad) == pytest.approx((150, 50))


def test_without_answers_no_share_is_bad() -> None:
    assert Tally(Clock()).share == 0
