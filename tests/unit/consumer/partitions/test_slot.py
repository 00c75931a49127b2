"""What becomes of the lanes in a transaction that fails: all in memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from tests.harness.played_publisher import NOT_ENOUGH, TOPICS, offer, publishing, requests, results
from tests.harness.waiting import eventually
from transport.errors import FatalError, OwnershipLost
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

pytestmark = pytest.mark.usefixtures("short_pauses")


async def test_lanes_without_a_writable_partition_are_retried_alone_and_others_go_on() -> None:
    async with publishing() as played:
        for each in (played.ordinary, played.retry):
            each.unwritable = {results(1)}
        stuck = played.publish(offer(1))
        await asyncio.gather(*(played.publish(offer(number)) for number in (0, 2)))
        assert played.ordinary.transactions[-1] == {requests(0): 1, requests(2): 1}
        await eventually(lambda: len(played.retry.transactions) > 2)
        assert played.ordinary.transactions.count({requests(0): 1, requests(1): 1, requests(2): 1}) == 1
        assert not stuck.done()
        played.retry.unwritable = set()
        assert (await stuck).next_offset == 1
        assert all(each == {requests(1): 1} for each in played.retry.transactions)


async def test_pauses_grow_between_retries_of_a_partition() -> None:
    taken: list[float] = []

    def pauses() -> Iterator[float]:
        for pause_s in itertools.count(1):
            taken.append(pause_s / 1000)
            yield taken[-1]

    async with publishing() as played:
        played.ordinary.unwritable = played.retry.unwritable = {results(1)}
        one = offer(1)
        one.pauses = pauses()
        begun_s = time.monotonic()
        stuck = played.publish(one)
        await eventually(lambda: len(played.retry.transactions) >= 3)
        assert time.monotonic() - begun_s >= sum(taken[:3])
        played.retry.unwritable = set()
        await stuck
        assert len(played.ordinary.transactions) == 1
        assert len(played.retry.transactions) == len(taken)


async def test_a_withdrawn_offer_in_a_transaction_is_published_or_given_back() -> None:
    async with publishing() as played:
        for failure in (None, NotCommitted("refused")):
            played.ordinary.failures = [failure]
            going_on = asyncio.Event()
            played.ordinary.on_commit = going_on.wait
            played.ordinary.tried.clear()
            withdrawn = offer(1)
            publication = played.publish(withdrawn)
            await played.ordinary.tried.wait()
            withdrawn.withdraw()
            assert not withdrawn.done.done(), "its transaction goes on"
            going_on.set()
            await asyncio.wait({publication})
            assert publication.cancelled() == (failure is not None)
        assert len(played.ordinary.transactions) == 2


async def test_a_failed_transaction_is_repeated_with_all_its_lanes() -> None:
    async with publishing() as played:
        played.ordinary.failures = [NotCommitted("refused"), None]
        await asyncio.gather(*(played.publish(offer(number)) for number in (0, 1)))
        assert played.ordinary.transactions == [{requests(0): 1, requests(1): 1}] * 2
        assert played.lost == ["transaction"]


@pytest.mark.parametrize("committed", [0, None])
async def test_lanes_of_an_unknown_outcome_that_are_not_committed_are_published_again(committed: int | None) -> None:
    async with publishing() as played:
        played.ordinary.failures = [OutcomeUnknown("no answer")]
        if committed is not None:
            played.ordinary.offsets.update({requests(0): committed, requests(1): committed})
        published = await asyncio.gather(*(played.publish(offer(number)) for number in (0, 1)))
        assert [each.next_offset for each in published] == [1, 1]
        assert played.ordinary.transactions == [{requests(0): 1, requests(1): 1}] * 2
        assert played.ordinary.settled


async def test_lanes_of_an_unknown_outcome_that_are_committed_are_not_published_again() -> None:
    async with publishing() as played:
        played.ordinary.failures, played.ordinary.lost_answers = [OutcomeUnknown("no answer")], True
        published = await asyncio.gather(*(played.publish(offer(number)) for number in (0, 1)))
        assert [each.next_offset for each in published] == [1, 1]
        assert played.ordinary.transactions == [{requests(0): 1, requests(1): 1}]
        assert played.ordinary.published == [0, 0]


async def test_a_lane_of_an_unknown_outcome_with_another_owners_offset_is_lost() -> None:
    async with publishing() as played:
        played.ordinary.failures = [OutcomeUnknown("no answer")]
        played.ordinary.offsets.update({requests(0): 0, requests(1): 7})
        kept, lost = played.publish(offer(0)), played.publish(offer(1))
        with pytest.raises(OwnershipLost, match=f"the committed offset of {TOPICS.requests}/1 is 7"):
            await lost
        await kept
        assert played.ordinary.transactions == [{requests(0): 1, requests(1): 1}, {requests(0): 1}]


@pytest.mark.parametrize("error", [OwnershipLost("refused"), FatalError("no right")])
async def test_a_final_error_reaches_each_lane_of_the_transaction_as_its_own(error: Exception) -> None:
    async with publishing() as played:
        played.ordinary.failures = [error]
        ended = await asyncio.gather(*(played.publish(offer(number)) for number in range(3)), return_exceptions=True)
        assert [(type(each), str(each)) for each in ended] == [(type(error), str(error))] * 3
        assert len({id(each) for each in ended}) == 3
        assert (await played.publish(offer(4))).next_offset == 1, "the slot goes on"


@pytest.mark.parametrize(
    "failure",
    [NotCommitted("no answer"), OwnershipLost("refused"), PartitionsUnavailable({results(0): NOT_ENOUGH})],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_failed_transaction_is_ended_without_another_commit(failure: Exception) -> None:
    """Until its end, readers see nothing after its results, and another owner cannot know where to start."""
    async with publishing() as played:
        played.ordinary.failures = [failure]
        going_on = asyncio.Event()
        played.ordinary.on_commit = going_on.wait
        last = offer(0)
        publication = played.publish(last)
        await played.ordinary.tried.wait()
        last.withdraw()
        going_on.set()
        await asyncio.wait({publication})
        await eventually(lambda: played.ordinary.settled)
