"""The publisher: puts the answers of all lanes that are ready, and the offsets after them, into one transaction.

A transaction costs about the same whatever is in it. While one is under way, the answers for the next one collect, so
that transactions grow with the load by themselves. There are several slots, each with a transactional producer and
connections of its own:

ordinary   takes what all lanes have ready
large      takes one lane with many bytes at a time, so that the others do not wait for a slow line
retry      takes one lane at a time whose partition of results cannot be written to: the others go on without it

A lane is in one slot at a time, so its results are published in order. If it is not known whether a transaction was
committed, the producer settles that, and the committed offsets show which lanes were in it. What was not committed is
published again; nothing is classified again.
Forced by test_a_commit_whose_answer_is_lost_is_published_once.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import structlog
from aiokafka import TopicPartition

from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import LaneObserver, Publication
from consumer.settings import Settings
from transport.batches.layout import BatchHeader
from transport.errors import FatalError, OwnershipLost
from transport.protocol.offsets import Member
from transport.sink.batches import OutgoingBatch
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

log = structlog.get_logger()

LARGE_BYTES: Final = 1024 * 1024
"""A part with more bytes goes to the slot for large ones."""
ORDINARY_BYTES: Final = 8 * 1024 * 1024
"""About how many bytes of all lanes the ordinary slot takes at once."""
RETRY_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a partition that cannot be written to is tried again, and after a failed transaction; the last repeats."""


def _pauses() -> Iterator[float]:
    return itertools.chain(RETRY_PAUSES_S, itertools.repeat(RETRY_PAUSES_S[-1]))


class Producer(Protocol):
    """Commits transactions one after the other: Kafka in the service, memory in tests."""

    @property
    def transactional_id(self) -> str:
        """Its present id."""

    async def settle(self) -> None:
        """Return when the outcome of the last transaction is decided."""

    async def commit(
        self,
        batches: Mapping[TopicPartition, Sequence[OutgoingBatch]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        """Publish batches and commit offsets in one transaction, see `transport.sink.producer`."""


class Slots(NamedTuple):
    """The producers of an instance, each used by one slot."""

    ordinary: Producer
    large: Producer
    retry: Producer


class Offsets(Protocol):
    """What the group has committed."""

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Return the committed offsets once no open transaction can change them; None if there is none."""


@dataclass(slots=True, eq=False)
class Offer:
    """A lane that has something to publish. Owner: the lane until it is published, then the slot that takes it.

    What is published is decided when a transaction begins: all that is answered by then.
    """

    partition: TopicPartition
    member: Member
    """In whose name the offset is committed."""
    targets: Mapping[str, TopicPartition]
    """The partition of each output topic that gets its records."""
    committed_offset: int | None
    """The offset that the group has before this."""
    ready: Callable[[int], list[ReadyPart]]
    """Returns the parts that may be published, in order: at least one, and as many as fit into a number of bytes."""
    is_taken: bool = False
    """True while a transaction with it is under way."""
    is_withdrawn: bool = False
    """True if it must not be taken any more."""
    retry_at_s: float = 0.0
    pauses: Iterator[float] = field(default_factory=_pauses)
    done: asyncio.Future[Publication] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def withdraw(self) -> None:
        """Let a transaction that has begun end, and begin none: `done` is then cancelled."""
        self.is_withdrawn = True
        if not self.is_taken:
            self.done.cancel()

    @property
    def size_bytes(self) -> int:
        """Bytes of the first part."""
        return self.ready(0)[0].size_bytes


@dataclass(frozen=True, slots=True)
class _Share:
    """What an offer adds to a transaction."""

    offer: Offer
    publication: Publication
    batches: Mapping[TopicPartition, Sequence[OutgoingBatch]]

    @property
    def size_bytes(self) -> int:
        return sum(len(batch.data) for batches in self.batches.values() for batch in batches)


class _Queue:
    """Offers that wait for one slot. Owner: the slot; lanes append."""

    def __init__(self) -> None:
        self._offers: deque[Offer] = deque()
        self._changed = asyncio.Event()

    def append(self, offer: Offer) -> None:
        self._offers.append(offer)
        self._changed.set()

    def put_back(self, offers: Sequence[Offer]) -> None:
        """Put offers in front: they were taken before all others."""
        self._offers.extendleft(reversed(offers))
        self._changed.set()

    async def due(self) -> None:
        """Wait until there is an offer whose pause is over."""
        while True:
            self._changed.clear()
            self._offers = deque(offer for offer in self._offers if not offer.done.done())
            now_s = time.monotonic()
            wait_s = min((offer.retry_at_s - now_s for offer in self._offers), default=None)
            if wait_s is not None and wait_s <= 0:
                return
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def take(self) -> Iterator[Offer]:
        """Yield the offers that are due, and remove each. All are of one member."""
        now_s, member = time.monotonic(), None
        for offer in list(self._offers):
            if offer.done.done():
                self._offers.remove(offer)
            elif offer.retry_at_s <= now_s and member in (None, offer.member):
                member = offer.member
                self._offers.remove(offer)
                yield offer


class Publisher:
    """Commits the transactions of an instance. Owner: the service; a task for each slot, and lanes call `publish`.

    Parameters
    ----------
    slots
        The producers.
    offsets
        Reads committed offsets, after a transaction whose outcome is unknown.
    settings
        The topics, and how large transactions may be.
    observer
        Receives the events.
    """

    def __init__(
        self,
        slots: Slots,
        offsets: Offsets,
        settings: Settings,
        *,
        observer: LaneObserver,
    ) -> None:
        self._slots = slots
        self._offsets = offsets
        self._topics = settings.topics
        self._large_bytes = min(LARGE_BYTES, settings.pacing.transaction_bytes)
        self._transaction_bytes = settings.pacing.transaction_bytes
        self._observer = observer
        self._ordinary, self._large, self._retry = _Queue(), _Queue(), _Queue()
        self._under_way: set[Offer] = set()
        self._has_ended = asyncio.Event()

    async def run(self) -> None:
        """Commit what lanes publish, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve_ordinary(), name="publish")
            group.create_task(self._serve_each(self._slots.large, self._large), name="publish large")
            group.create_task(self._serve_each(self._slots.retry, self._retry), name="publish retry")

    async def publish(self, offer: Offer) -> Publication:
        """Return when the answers of an offer are committed.

        Raises
        ------
        OwnershipLost
            The group has another owner for the partition, or the offer was withdrawn.
        FatalError
            The brokers would refuse it again.
        """
        (self._large if offer.size_bytes > self._large_bytes else self._ordinary).append(offer)
        return await offer.done

    async def partition_free(self, partition: TopicPartition) -> None:
        """Return when no transaction with a partition is under way, also none of a lane that has ended meanwhile.

        Until then its committed offset may change, although it seems to be stable.
        """
        while any(offer.partition == partition for offer in self._under_way):
            self._has_ended.clear()
            await self._has_ended.wait()

    async def _serve_ordinary(self) -> None:
        pauses = _pauses()
        while True:
            await self._ordinary.due()
            await asyncio.sleep(0)  # lanes whose last transaction has just ended add their next answers
            shares: list[_Share] = []
            size_bytes = 0
            for offer in self._ordinary.take():
                shares.append(self._share(offer, self._large_bytes))
                size_bytes += shares[-1].size_bytes
                if size_bytes > ORDINARY_BYTES:
                    break
            pauses = await self._commit(self._slots.ordinary, shares, self._ordinary, pauses)

    async def _serve_each(self, producer: Producer, queue: _Queue) -> None:
        pauses = _pauses()
        while True:
            await queue.due()
            for offer in itertools.islice(queue.take(), 1):
                share = self._share(offer, self._transaction_bytes)
                pauses = await self._commit(producer, [share], queue, pauses)

    def _share(self, offer: Offer, limit_bytes: int) -> _Share:
        """Take the parts that are ready."""
        offer.is_taken = True
        parts = offer.ready(limit_bytes)
        batches = {
            offer.targets[topic]: [_outgoing(batch) for some in by_part for batch in some]
            for topic, by_part in (
                (self._topics.predictions, [ready.part.results for ready in parts]),
                (self._topics.dead_letter, [ready.part.dead_letters for ready in parts]),
            )
            if any(by_part)
        }
        return _Share(offer, Publication(offer.partition, parts), batches)

    async def _commit(
        self, producer: Producer, shares: Sequence[_Share], queue: _Queue, pauses: Iterator[float]
    ) -> Iterator[float]:
        """Commit shares in one transaction, and see to those for which that fails; return the pauses after failures."""
        if not shares:
            return pauses
        offers = {share.offer for share in shares}
        self._under_way |= offers
        try:
            return await self._commit_or_repair(producer, shares, queue, pauses)
        finally:
            self._under_way -= offers
            self._has_ended.set()

    async def _commit_or_repair(
        self, producer: Producer, shares: Sequence[_Share], queue: _Queue, pauses: Iterator[float]
    ) -> Iterator[float]:
        begun_s, pause_s = time.monotonic(), 0.0
        try:
            await producer.commit(*_joined(shares), shares[0].offer.member)
        except PartitionsUnavailable as error:
            self._set_aside(shares, error, queue)
        except NotCommitted as error:
            log.warning("transaction not committed", why=str(error), action="retrying")
            self._offer_again([share.offer for share in shares], queue)
            pause_s = next(pauses)
        except OutcomeUnknown as error:
            log.warning("transaction's outcome unknown", why=str(error), action="settling it")
            await self._resolve(producer, shares, queue, begun_s)
        except (OwnershipLost, FatalError) as error:
            for share in shares:
                _fail(share.offer, error)
        else:
            self._observer.transaction_committed(time.monotonic() - begun_s)
            _finish(shares, begun_s)
            return _pauses()
        self._observer.transaction_lost()
        # At once, since there may be no next commit here. Until the transaction ends, readers see nothing after its
        # results, and another owner does not know where to start.
        # Forced by test_a_failed_transaction_is_ended_without_another_commit.
        await producer.settle()
        await asyncio.sleep(pause_s)
        return pauses

    def _set_aside(self, shares: Sequence[_Share], error: PartitionsUnavailable, queue: _Queue) -> None:
        """Move the offers with unavailable partitions to the retry slot; offer the others again."""
        for share in shares:
            if share.batches.keys() & error.partitions:
                share.offer.retry_at_s = time.monotonic() + next(share.offer.pauses)
                name = f"{share.offer.partition.topic}/{share.offer.partition.partition}"
                log.warning("partition not writable", lane=name, why=str(error), action="retrying alone")
                self._offer_again([share.offer], self._retry)
        self._offer_again([share.offer for share in shares if not share.batches.keys() & error.partitions], queue)

    def _offer_again(self, offers: Sequence[Offer], queue: _Queue) -> None:
        for offer in offers:
            offer.is_taken = False
            if offer.is_withdrawn:
                offer.withdraw()
        queue.put_back([offer for offer in offers if not offer.done.done()])

    async def _resolve(self, producer: Producer, shares: Sequence[_Share], queue: _Queue, begun_s: float) -> None:
        """Find out which shares a transaction has committed, and offer the others again."""
        try:
            await producer.settle()
            found = await self._offsets.committed([share.offer.partition for share in shares])
        except (OwnershipLost, FatalError) as error:
            for share in shares:
                _fail(share.offer, error)
            return
        for share in shares:
            offset = found.get(share.offer.partition)
            if offset == share.publication.next_offset:
                _finish([share], begun_s)
            elif offset in (None, share.offer.committed_offset):  # None: a lane of a new group has begun somewhere
                self._offer_again([share.offer], queue)
            else:
                where = f"{share.offer.partition.topic}/{share.offer.partition.partition}"
                _fail(share.offer, OwnershipLost(f"the committed offset of {where} is {offset}: another owner's"))


def _outgoing(batch: bytearray) -> OutgoingBatch:
    return OutgoingBatch(batch, BatchHeader.parse(batch).record_count)


def _joined(
    shares: Sequence[_Share],
) -> tuple[dict[TopicPartition, list[OutgoingBatch]], dict[TopicPartition, int]]:
    """Return the batches of all shares by partition, and the offsets. Two lanes may have one partition of results."""
    batches: dict[TopicPartition, list[OutgoingBatch]] = {}
    for share in shares:
        for partition, some in share.batches.items():
            batches.setdefault(partition, []).extend(some)
    return batches, {share.offer.partition: share.publication.next_offset for share in shares}


def _finish(shares: Sequence[_Share], begun_s: float) -> None:
    for share in shares:
        share.offer.is_taken = False
        if not share.offer.done.done():
            share.offer.done.set_result(share.publication.committed(begun_s))


def _fail(offer: Offer, error: OwnershipLost | FatalError) -> None:
    offer.is_taken = False
    if not offer.done.done():
        offer.done.set_exception(type(error)(str(error)))
