"""The token bucket, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from transport.rate_limiter import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_of_one_spreads_reservations_evenly(clock: Clock) -> None:
    limiter = RateLimiter(4, clock=clock)
    assert [limiter.reserve() for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_a_pause_makes_room_for_one_burst_and_no_more(clock: Clock) -> None:
    limiter = RateLimiter(4, burst=2, clock=clock)
    clock.now_s += 60
    assert [limiter.reserve() for _ in range(4)] == [0.0, 0.0, 0.25, 0.5]


def test_a_reservation_becomes_due_as_time_passes(clock: Clock) -> None:
    limiter = RateLimiter(4, clock=clock)
    limiter.reserve()
    limiter.reserve()
    clock.now_s += 0.25
    assert limiter.reserve() == pytest.approx(0.25)


def test_a_reservation_of_many_delays_the_one_after_it(clock: Clock) -> None:
    limiter = RateLimiter(4, clock=clock)
    assert limiter.reserve(8) == 0.0
    assert limiter.reserve() == pytest.approx(2.0)


def test_try_acquire_refuses_once_the_burst_is_used_up(clock: Clock) -> None:
    limiter = RateLimiter(2, burst=2, clock=clock)
    assert [limiter.try_acquire() for _ in range(3)] == [True, True, False]
    clock.now_s += 0.5
    assert [limiter.try_acquire() for _ in range(2)] == [True, False]


def test_a_refused_event_takes_no_token(clock: Clock) -> None:
    limiter = RateLimiter(2, clock=clock)
    limiter.try_acquire()
    for _ in range(5):
        limiter.try_acquire()
    clock.now_s += 0.5
    assert limiter.try_acquire()


async def test_acquire_sleeps_for_the_time_that_was_reserved(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s: list[float] = []

    async def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    limiter = RateLimiter(2, clock=clock)
    for _ in range(3):
        await limiter.acquire()
    assert slept_s == [0.5, 1.0]


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (-1, 1), (1, 0.5)])
def test_a_limit_that_allows_nothing_is_refused(per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="allows no event"):
        RateLimiter(per_s, burst)
