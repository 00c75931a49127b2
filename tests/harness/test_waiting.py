"""The one place that sleeps must fail when it should, and say what it saw."""

from __future__ import annotations

import itertools

import pytest

from tests.harness.waiting import eventually


async def test_it_returns_the_value_that_satisfies() -> None:
    numbers = itertools.count()
    assert await eventually(lambda: next(numbers), lambda number: number > 2) == 3


async def test_at_the_deadline_it_fails_with_the_last_value_seen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s; last seen: \{'lag': 7\}"):
        await eventually(lambda: {"lag": 7}, lambda seen: seen["lag"] == 0, deadline_s=0)


async def test_a_refused_connection_is_tried_again_and_other_errors_are_raised() -> None:
    answers = iter([ConnectionRefusedError(), None, KeyError("a bug in the test")])

    async def look() -> bool:
        answer = next(answers)
        if answer is not None:
            raise answer
        return False

    with pytest.raises(KeyError):
        await eventually(look)
