"""A publisher with producers in memory, which fail as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.errors import NotEnoughReplicasError

from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import LaneObserver, Publication
from consumer.partitions.offers import Offer
from consumer.partitions.publisher import Publisher, SlotProducers
from consumer.settings import Settings
from consumer.workers.tasks import Part
from tests.harness.memory import MEMBER, MemoryProducer, results_batch
from transport.batches.building import sized
from transport.protocol.offsets import Member
from transport.sink.batches import OutgoingBatch
from transport.sink.outcomes import OutcomeUnknown, PartitionsUnavailable

TOPICS = Settings().topics
NOT_ENOUGH = NotEnoughReplicasError()


def requests(number: int) -> TopicPartition:
    """Return a partition of the requests topic."""
    return TopicPartition(TOPICS.requests, number)


def results(number: int) -> TopicPartition:
    """Return a partition of the predictions topic."""
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
        """Count the calls."""
        self.settled += 1

    async def commit(
        self,
        batches: Mapping[TopicPartition, Sequence[OutgoingBatch]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        """Keep the transaction, or fail."""
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
        """Publish an offer in a task."""
        return asyncio.create_task(self.publisher.publish(offer), name=f"publish {offer.partition.partition}")


def offer(
    number: int,
    *sizes: int,
    member: Member = MEMBER,
    to: int | None = None,
    committed: int | None = 0,
    images: int = 1,
) -> Offer:
    """Make the offer of a lane with a part for each of some sizes (about), at the offsets from 0 on."""
    parts = [_part(offset, size, images) for offset, size in enumerate(sizes or (1,))]
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


def _part(offset: int, size_bytes: int, images: int) -> ReadyPart:
    batch = results_batch(b"%d" % offset, key=sized(bytes(size_bytes)))
    return ReadyPart(Part(offset + 1, [batch], records=1, recognised=images), 0.0, 0.0, 0.0)


@contextlib.asynccontextmanager
async def publishing() -> AsyncIterator[Played]:
    """Run a publisher while the context lasts."""
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
