"""What the publisher puts into a transaction, and when: all in memory."""

from __future__ import annotations

import asyncio

import pytest

from consumer.partitions import publisher
from consumer.partitions.publisher import COLLECT_RECORDS, LARGE_BYTES
from tests.harness.memory import MEMBER, memory_lanes, record
from tests.harness.played_publisher import offer, publishing, requests
from tests.harness.waiting import eventually
from transport.errors import OwnershipLost
from transport.sink.outcomes import NotCommitted

pytestmark = pytest.mark.usefixtures("short_pauses")

COLLECT_S = 120.0
"""Longer than any test waits."""


async def test_all_lanes_that_are_ready_share_one_transaction() -> None:
    async with publishing() as played:
        published = await asyncio.gather(*(played.publish(offer(number)) for number in range(5)))
        assert played.ordinary.transactions == [{requests(number): 1 for number in range(5)}]
    assert [each.partition for each in published] == [requests(number) for number in range(5)]


async def test_lanes_that_come_during_a_transaction_share_the_next_one() -> None:
    async with publishing() as played:
        going_on = asyncio.Event()
        played.ordinary.on_commit = going_on.wait
        first = played.publish(offer(0))
        await played.ordinary.tried.wait()
        others = [played.publish(offer(number)) for number in (1, 2)]
        going_on.set()
        await asyncio.gather(first, *others)
        assert played.ordinary.transactions == [{requests(0): 1}, {requests(1): 1, requests(2): 1}]


@pytest.mark.parametrize(
    ("records", "images", "waits"),
    [(COLLECT_RECORDS - 1, 1, False), (COLLECT_RECORDS, 1, True), (1, COLLECT_RECORDS, False)],
)
async def test_after_a_transaction_that_answers_many_requests_the_next_one_collects_more(
    records: int, images: int, *, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "COLLECT_S", COLLECT_S)
    async with publishing() as played:
        await played.publish(offer(0, *[1] * records, images=images))
        following = played.publish(offer(1))
        for _ in range(3):  # meanwhile the slot for large ones commits one transaction after the other
            await played.publish(offer(2, LARGE_BYTES + 1))
        if not waits:
            await following
        assert len(played.ordinary.transactions) == (1 if waits else 2)
        following.cancel()


async def test_a_transaction_that_leaves_answers_waiting_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "COLLECT_S", COLLECT_S)
    async with publishing() as played:
        fits = [LARGE_BYTES // COLLECT_RECORDS - 200] * COLLECT_RECORDS  # bytes of keys; a batch has some more
        publication = await played.publish(offer(0, *fits, LARGE_BYTES // 2))
        assert publication.records == COLLECT_RECORDS
        async with asyncio.timeout(COLLECT_S / 2):
            await played.publish(offer(1))


async def test_the_next_transaction_waits_for_the_markers_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing() as played:
        await played.publish(offer(0))
        await played.publish(offer(1))
        monkeypatch.setattr(publisher, "MARKERS_S", COLLECT_S)
        await played.publish(offer(2))
        waiting = [played.publish(offer(number)) for number in (3, 4)]
        for _ in range(3):  # meanwhile the slot for large ones commits one transaction after the other
            await played.publish(offer(5, LARGE_BYTES + 1))
        assert len(played.ordinary.transactions) == 3
        for each in waiting:
            each.cancel()


async def test_what_is_answered_when_the_transaction_begins_is_in_it() -> None:
    async with publishing() as played:
        publication = await played.publish(offer(0, 10, 10, LARGE_BYTES))
        assert publication.next_offset == 2, "as much as fits"
        assert played.ordinary.offsets == {requests(0): 2}


async def test_a_large_offer_does_not_hold_up_the_others() -> None:
    async with publishing() as played:
        going_on = asyncio.Event()
        played.large.on_commit = going_on.wait
        large = [played.publish(offer(number, LARGE_BYTES + 1)) for number in (0, 1)]
        await played.large.tried.wait()
        for _ in range(3):
            await played.publish(offer(2))
        assert played.large.transactions == [{requests(0): 1}], "one lane at a time"
        going_on.set()
        await asyncio.gather(*large)
        assert played.large.transactions == [{requests(0): 1}, {requests(1): 1}]


async def test_two_lanes_with_one_partition_of_results_share_a_transaction() -> None:
    async with publishing() as played:
        await asyncio.gather(played.publish(offer(0, to=0)), played.publish(offer(1, to=0)))
        assert played.ordinary.transactions == [{requests(0): 1, requests(1): 1}]
        assert played.ordinary.published == [0, 0], "one result of each lane"


async def test_lanes_of_different_generations_are_never_in_one_transaction() -> None:
    later = MEMBER._replace(generation=2)
    async with publishing() as played:
        offers = [offer(0), offer(1, member=later), offer(2), offer(3, member=later)]
        await asyncio.gather(*map(played.publish, offers))
        assert played.ordinary.transactions == [{requests(0): 1, requests(2): 1}, {requests(1): 1, requests(3): 1}]
        assert played.ordinary.members == [MEMBER, later]


async def test_a_withdrawn_offer_that_waits_is_in_no_transaction() -> None:
    async with publishing() as played:
        going_on = asyncio.Event()
        played.ordinary.on_commit = going_on.wait
        first = played.publish(offer(0))
        await played.ordinary.tried.wait()
        withdrawn = offer(1)
        waiting = played.publish(withdrawn)
        await asyncio.sleep(0)
        withdrawn.withdraw()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        going_on.set()
        await first
        await played.publish(offer(2))
        assert played.ordinary.transactions == [{requests(0): 1}, {requests(2): 1}]


async def test_a_partition_is_free_once_the_transaction_of_its_last_lane_has_ended() -> None:
    async with publishing() as played:
        going_on = asyncio.Event()
        played.ordinary.on_commit = going_on.wait
        left = played.publish(offer(0))
        await played.ordinary.tried.wait()
        left.cancel()  # as the lane does that cannot fetch any more
        await asyncio.wait({left})
        await played.publisher.partition_free(requests(1))
        freed = asyncio.create_task(played.publisher.partition_free(requests(0)))
        await asyncio.sleep(0)
        assert not freed.done(), "the next lane would read an offset that this transaction changes"
        going_on.set()
        await freed
        assert played.ordinary.offsets == {requests(0): 1}


async def test_the_budget_is_free_after_lanes_were_committed_refused_and_revoked() -> None:
    lanes = memory_lanes()
    outcomes: list[Exception | None] = [None, NotCommitted("refused"), OwnershipLost("refused")]

    async def fail() -> None:
        if failure := outcomes.pop(0):
            raise failure

    lanes.partitions.producer.on_commit = fail
    async with lanes.publishing():
        lane = lanes.lane()
        running = asyncio.create_task(lane.run())
        lanes.partitions.source.append(record(0))
        await eventually(lambda: lane.committed_offset == 1)
        lanes.partitions.source.append(record(1))
        await running
        assert outcomes == []
        assert (lanes.budget.acquired_bytes, lanes.budget.output_bytes) == (0, 0)
