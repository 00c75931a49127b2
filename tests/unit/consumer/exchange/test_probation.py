"""When the answers of a new model are worse than those before: by a margin, and beyond chance."""

from __future__ import annotations

import numpy as np
import pytest

from consumer.exchange.probation import LEAST_ANSWERS, left_band
from consumer.workers.tally import Tally


def tally(answers: float, bad: float) -> Tally:
    made = Tally()
    made.answers, made.bad = answers, bad
    return made


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ((10_000, 100), (10_000, 100), False),
        ((10_000, 100), (10_000, 310), True),
        ((10_000, 100), (10_000, 290), False),  # within the margin
        ((10_000, 100), (10_000, 0), False),
        ((10_000, 10_000), (10_000, 10_000), False),
        ((10_000, 5_000), (10_000, 0), False),
        ((10_000, 0), (LEAST_ANSWERS, LEAST_ANSWERS), True),
        ((10_000, 0), (LEAST_ANSWERS - 1, LEAST_ANSWERS - 1), False),
        ((LEAST_ANSWERS - 1, 0), (10_000, 10_000), False),
        ((100, 1), (100, 10), False),  # by chance, perhaps
        ((0, 0), (10_000, 10_000), False),
        ((10_000, 0), (0, 0), False),
    ],
)
def test_the_band_is_left_by_more_bad_answers_only(
    before: tuple[int, int], after: tuple[int, int], *, left: bool
) -> None:
    assert bool(left_band(tally(*before), tally(*after), margin=0.02)) is left


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_the_same_share_leaves_the_band_by_chance_hardly_ever(margin: float) -> None:
    """A thousand exchanges, each looked at after every hundred answers up to 5,000."""
    rng = np.random.default_rng(0)
    bad_before = rng.binomial(2_000, 0.05, 1_000)
    bad_after = rng.binomial(100, 0.05, (1_000, 50)).cumsum(axis=1)
    returned = sum(
        any(left_band(tally(2_000, before), tally(100 * looks, bad), margin) for looks, bad in enumerate(after, 1))
        for before, after in zip(bad_before.tolist(), bad_after.tolist(), strict=True)
    )
    assert returned == 0


def test_with_a_margin_of_one_nothing_leaves_the_band() -> None:
    assert not left_band(tally(10_000, 0), tally(10_000, 10_000), margin=1)
