"""Requests that are followed: their answers, and how much of them is kept."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from producer.web.gateway.interface import Answer, BusyError, Position
from producer.web.gateway.tracked import ANSWER_BYTES, REQUEST_BYTES, Tracked, TrackedRequests
from tests.harness.gateway_records import REQUEST, made_answer, wire_id

ONE_BYTES = ANSWER_BYTES + 100


async def all_of(tracked: Tracked) -> list[int]:
    return [answer.index async for answer in tracked.follow()]


def add(requests: TrackedRequests, name: str, *answers: Answer) -> Tracked:
    tracked = requests.track(wire_id(name))
    requests.place(tracked, REQUEST)
    for answer in answers:
        requests.add(wire_id(name), answer)
    return tracked


@pytest.fixture
def requests() -> TrackedRequests:
    return TrackedRequests(max_requests=100, max_bytes=1_000_000)


async def test_followers_get_all_answers_by_index_whenever_they_arrive(requests: TrackedRequests) -> None:
    tracked = add(requests, "one", made_answer(1, 3))
    early, late = asyncio.ensure_future(all_of(tracked)), asyncio.ensure_future(all_of(tracked))
    for index in (0, 2):
        await asyncio.sleep(0)
        assert not early.done()
        requests.add(wire_id("one"), made_answer(index, 3))
    assert [await early, await late, await all_of(tracked)] == [[0, 1, 2]] * 3
    assert (requests.waiting, tracked.found().complete) == (0, True)


async def test_answers_before_the_acknowledgement_count_if_they_are_the_requests_own(requests: TrackedRequests) -> None:
    tracked = requests.track(wire_id("one"))
    replayed = made_answer(request=Position(3, 5))
    assert requests.add(wire_id("one"), replayed)
    assert requests.add(wire_id("one"), made_answer())
    assert tracked.found().answers == []
    requests.place(tracked, REQUEST)
    assert tracked.found().answers == [made_answer()]
    assert requests.kept_bytes == REQUEST_BYTES + ONE_BYTES


async def test_an_answer_that_comes_again_counts_once(requests: TrackedRequests) -> None:
    tracked = add(requests, "one", made_answer())
    assert not requests.add(wire_id("one"), made_answer())
    assert not requests.add(wire_id("unknown"), made_answer())
    assert await all_of(tracked) == [0]


async def test_the_oldest_without_followers_is_forgotten_first() -> None:
    requests = TrackedRequests(max_requests=2, max_bytes=1_000_000)
    first, second = add(requests, "first"), add(requests, "second")
    with requests.followed(first):
        add(requests, "third")
        assert second.is_forgotten
        assert [each.wire_id.request_id for each in requests] == ["first", "third"]
        with requests.followed(add(requests, "fourth")), pytest.raises(BusyError):
            requests.check_room()
        requests.check_room()


async def test_answers_are_kept_up_to_the_limit_even_if_all_are_followed() -> None:
    limit_bytes = 2 * REQUEST_BYTES + 4 * ONE_BYTES
    requests = TrackedRequests(max_requests=10, max_bytes=limit_bytes)
    small, large = add(requests, "small"), add(requests, "large")
    with requests.followed(small), requests.followed(large):
        following = asyncio.ensure_future(all_of(large))
        await asyncio.sleep(0)
        requests.add(wire_id("small"), made_answer(0, 2))
        for index in range(4):
            requests.add(wire_id("large"), made_answer(index, 10))
            assert requests.kept_bytes <= limit_bytes
        with pytest.raises(LookupError):
            await following
        assert not small.is_forgotten
        requests.add(wire_id("small"), made_answer(1, 2))
        assert await all_of(small) == [0, 1]


async def test_nothing_is_counted_any_more_when_all_is_forgotten(requests: TrackedRequests) -> None:
    for number in range(10):
        tracked = add(requests, str(number), made_answer(0, 2))
        with contextlib.suppress(LookupError), requests.followed(tracked):
            requests.forget(tracked)
            requests.forget(tracked)
            requests.place(tracked, REQUEST)
    assert (requests.kept_bytes, requests.waiting, list(requests)) == (0, 0, [])
    requests.check_room()


async def test_a_caller_that_stops_following_leaves_the_request(requests: TrackedRequests) -> None:
    tracked = add(requests, "one", made_answer(0, 2))
    async with contextlib.aclosing(tracked.follow()) as answers:
        assert (await anext(answers)).index == 0
    requests.add(wire_id("one"), made_answer(1, 2))
    assert await all_of(tracked) == [0, 1]


def test_the_time_until_the_last_answer_is_given_once_and_only_of_what_was_sent_here() -> None:
    waited: list[float] = []
    requests = TrackedRequests(100, 1_000_000, waited.append)
    add(requests, "sent by another gateway", made_answer())
    tracked = requests.track(wire_id("one"))
    requests.accept(tracked, REQUEST)
    requests.add(wire_id("one"), made_answer(0, 2))
    assert waited == []
    requests.add(wire_id("one"), made_answer(1, 2))
    requests.add(wire_id("one"), made_answer(1, 2))
    assert len(waited) == 1
    assert waited[0] >= 0


def test_an_answer_that_is_read_before_the_acknowledgement_is_timed_too() -> None:
    waited: list[float] = []
    requests = TrackedRequests(100, 1_000_000, waited.append)
    tracked = requests.track(wire_id("one"))
    requests.add(wire_id("one"), made_answer())
    requests.accept(tracked, REQUEST)
    assert len(waited) == 1
