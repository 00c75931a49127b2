"""Transactions begin at once when all is quiet, and spread evenly when lanes ask for more than the ceiling."""

from __future__ import annotations

import asyncio

import pytest

from consumer.partitions.pacer import Pacer


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_beginning_is_free_at_once() -> None:
    assert Pacer(10, Clock()).reserve() == 0


def test_beginnings_asked_for_at_once_are_spread_evenly() -> None:
    pacer = Pacer(10, Clock())
    assert [pacer.reserve() for _ in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_time_that_has_passed_counts() -> None:
    clock = Clock()
    pacer = Pacer(10, clock)
    assert [pacer.reserve() for _ in range(3)] == pytest.approx([0, 0.1, 0.2])
    clock.now_s += 0.25
    assert pacer.reserve() == pytest.approx(0.05)


def test_quiet_time_is_not_saved_up() -> None:
    clock = Clock()
    pacer = Pacer(10, clock)
    pacer.reserve()
    clock.now_s += 60
    assert [pacer.reserve() for _ in range(3)] == pytest.approx([0, 0.1, 0.2])


async def test_a_turn_that_is_free_is_not_waited_for() -> None:
    turn = asyncio.create_task(Pacer(0.001).turn())
    await asyncio.sleep(0)
    assert turn.done()


async def test_a_turn_comes_when_it_was_reserved() -> None:
    loop = asyncio.get_running_loop()
    pacer = Pacer(50)
    await pacer.turn()
    begun_s = loop.time()
    await pacer.turn()
    assert loop.time() - begun_s > 0.01
