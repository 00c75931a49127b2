"""A slot of the publisher: commits one transaction after the other, and repairs what a failed one has left.

If it is not known whether a transaction was committed, the producer settles that, and the committed offsets show which
lanes were in it. What was not committed is published again; nothing is classified again.
Forced by test_a_commit_whose_answer_is_lost_is_published_once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from aiokafka import TopicPartition

from consumer.partitions.observers import LaneObserver
from consumer.partitions.offers import Offer, OfferQueue, retry_pauses
from consumer.partitions.shares import Share, joined
from transport.errors import FatalError, OwnershipLost
from transport.protocol.offsets import Member
from transport.sink.batches import OutgoingBatch
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

log = structlog.get_logger()


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


class Offsets(Protocol):
    """What the group has committed."""

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Return the committed offsets once no open transaction can change them; None if there is none."""


class Slot:
    """A producer and the offers that wait for it. Owner: the task that serves it; lanes append to `queue`.

    Parameters
    ----------
    producer
        Used by this slot alone.
    queue
        The offers that wait.
    retry
        The queue for offers whose partition cannot be written to.
    offsets
        Reads committed offsets, after a transaction whose outcome is unknown.
    observer
        Receives the events.
    """

    def __init__(
        self, producer: Producer, queue: OfferQueue, *, retry: OfferQueue, offsets: Offsets, observer: LaneObserver
    ) -> None:
        self.queue = queue
        self._producer = producer
        self._retry = retry
        self._offsets = offsets
        self._observer = observer
        self._pauses = retry_pauses()
        self._under_way: set[Offer] = set()

    def has_under_way(self, partition: TopicPartition) -> bool:
        """Return whether a transaction with a partition is under way."""
        return any(offer.partition == partition for offer in self._under_way)

    async def commit(self, shares: Sequence[Share]) -> None:
        """Commit shares in one transaction, and repair what is left if that fails."""
        self._under_way = {share.offer for share in shares}
        try:
            await self._commit_or_repair(shares)
        finally:
            self._under_way = set()

    async def _commit_or_repair(self, shares: Sequence[Share]) -> None:
        begun_s, pause_s = time.monotonic(), 0.0
        try:
            await self._producer.commit(*joined(shares), shares[0].offer.member)
        except PartitionsUnavailable as error:
            self._set_aside(shares, error)
        except NotCommitted as error:
            log.warning("transaction not committed", why=str(error), action="retrying")
            self._offer_again([share.offer for share in shares], self.queue)
            pause_s = next(self._pauses)
        except OutcomeUnknown as error:
            log.warning("transaction's outcome unknown", why=str(error), action="settling it")
            await self._resolve(shares, begun_s)
        except (OwnershipLost, FatalError) as error:
            _fail(shares, error)
        else:
            self._observer.transaction_committed(time.monotonic() - begun_s)
            for share in shares:
                share.finish(begun_s)
            self._pauses = retry_pauses()
            return
        self._observer.transaction_lost()
        # At once, since there may be no next commit here. Until the transaction ends, readers see nothing after its
        # results, and another owner does not know where to start.
        # Forced by test_a_failed_transaction_is_ended_without_another_commit.
        await self._producer.settle()
        await asyncio.sleep(pause_s)

    def _set_aside(self, shares: Sequence[Share], error: PartitionsUnavailable) -> None:
        """Move the offers with unavailable partitions to the retry slot; offer the others again."""
        for share in shares:
            if share.batches.keys() & error.partitions:
                share.offer.retry_at_s = time.monotonic() + next(share.offer.pauses)
                log.warning("partition not writable", lane=share.offer.name, why=str(error), action="retrying alone")
                self._offer_again([share.offer], self._retry)
        others = [share.offer for share in shares if not share.batches.keys() & error.partitions]
        self._offer_again(others, self.queue)

    def _offer_again(self, offers: Sequence[Offer], queue: OfferQueue) -> None:
        for offer in offers:
            offer.release()
        queue.put_back([offer for offer in offers if not offer.done.done()])

    async def _resolve(self, shares: Sequence[Share], begun_s: float) -> None:
        """Find out which shares a transaction has committed, and offer the others again."""
        try:
            await self._producer.settle()
            found = await self._offsets.committed([share.offer.partition for share in shares])
        except (OwnershipLost, FatalError) as error:
            _fail(shares, error)
            return
        for share in shares:
            offer, offset = share.offer, found.get(share.offer.partition)
            if offset == share.publication.next_offset:
                share.finish(begun_s)
            elif offset in (None, offer.committed_offset):  # None: a lane of a new group has begun somewhere
                self._offer_again([offer], self.queue)
            else:
                offer.fail(OwnershipLost(f"the committed offset of {offer.name} is {offset}: another owner's"))


def _fail(shares: Sequence[Share], error: OwnershipLost | FatalError) -> None:
    for share in shares:
        share.offer.fail(error)
