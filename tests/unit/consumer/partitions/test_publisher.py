"""What the publisher puts into a transaction, and what becomes of it if the transaction fails: all in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotEnoughReplicasError

from consumer.partitions import offers as module
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import LaneObserver, Publication
from consumer.partitions.offers import Offer
from consumer.partitions.publisher import LARGE_BYTES, Publisher, SlotProducers
from consumer.settings import Settings
from consumer.workers.tasks import Part
from tests.harness.memory import MEMBER, MemoryProducer, memory_lanes, record, results_batch
from tests.harness.waiting import eventually
from transport.batches.building import sized
from transport.errors import FatalError, OwnershipLost
from transport.protocol.offsets import Member
from transport.sink.batches import OutgoingBatch
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

TOPICS = Settings().topics
NOT_ENOUGH = NotEnoughReplicasError()


def requests(number: int) -> TopicPartition:
    return TopicPartition(TOPICS.requests, number)


def results(number: int) -> TopicPartition:
    return TopicPartition(TOPICS.predictions, number)


@dataclass
class PlayedProducer(MemoryProducer):
    """Keeps what is committed; refuses to write to `unwritable`, and fails as `failures` say, one after the other."""

    unwritable: set[TopicPartition] = field(default_factory=set)
    failures: list[Exception | None] = field(default_factory=list)
    lost_answers: bool = False
    """True: what fails with `OutcomeUnknown` was committed."""
    transactions: list[dict[TopicPartition, int]] = field(default_factory=list)
    """The offsets of each transaction that was tried."""
    members: list[Member] = field(default_factory=list)
    results: list[TopicPartition] = field(default_factory=list)
    settled: int = 0
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self) -> None:
        self.settled += 1

    async def commit(
        self,
        batches: Mapping[TopicPartition, Sequence[OutgoingBatch]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        self.transactions.append(dict(offsets))
        self.members.append(member)
        self.tried.set()
        await self.on_commit()
        if unwritable := self.unwritable & batches.keys():
            raise PartitionsUnavailable(dict.fromkeys(unwritable, NOT_ENOUGH))
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or (self.lost_answers and isinstance(failure, OutcomeUnknown)):
            self.results += batches
            self.keep(batches, offsets)
        if failure is not None:
            raise failure


@dataclass
class Played:
    """A publisher with its three producers, which share one log of offsets."""

    ordinary: PlayedProducer
    large: PlayedProducer
    retry: PlayedProducer
    publisher: Publisher
    lost: list[str]

    def publish(self, offer: Offer) -> asyncio.Task[Publication]:
        return asyncio.create_task(self.publisher.publish(offer), name=f"publish {offer.partition.partition}")


def offer(number: int, *sizes: int, member: Member = MEMBER, to: int | None = None, committed: int | None = 0) -> Offer:
    """Make the offer of a lane with a part for each of some sizes (about), at the offsets from 0 on."""
    parts = [_part(offset, size) for offset, size in enumerate(sizes or (1,))]
    targets = {TOPICS.predictions: results(number if to is None else to)}

    def ready(limit_bytes: int) -> list[ReadyPart]:
        taken, size_bytes = parts[:1], parts[0].size_bytes
        for part in parts[1:]:
            size_bytes += part.size_bytes
            if size_bytes > limit_bytes:
                break
            taken.append(part)
        return taken

    return Offer(requests(number), member, targets, committed, ready)


def _part(offset: int, size_bytes: int) -> ReadyPart:
    batch = results_batch(b"%d" % offset, key=sized(bytes(size_bytes)))
    return ReadyPart(Part(offset + 1, [batch], records=1, recognised=1), 0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSES_S", (0.001, 0.002))


@contextlib.asynccontextmanager
async def publishing() -> AsyncIterator[Played]:
    offsets: dict[TopicPartition, int] = {}
    producers = [PlayedProducer(transactional_id=name, offsets=offsets) for name in SlotProducers._fields]
    lost: list[str] = []

    class Observer(LaneObserver):
        def transaction_lost(self) -> None:
            lost.append("transaction")

    publisher = Publisher(SlotProducers(*producers), producers[0], Settings(), observer=Observer())
    running = asyncio.create_task(publisher.run())
    try:
        ordinary, large, retry = producers
        yield Played(ordinary, large, retry, publisher, lost)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


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
