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

from consumer.partitions.contributions import Contribution, joined
from consumer.partitions.observers import LaneObserver
from consumer.partitions.offers import Offer, OfferQueue, retry_pauses
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

    async def commit(self, contributions: Sequence[Contribution]) -> None:
        """Commit contributions in one transaction, and repair what is left if that fails."""
        self._under_way = {each.offer for each in contributions}
        try:
            await self._commit_or_repair(contributions)
        finally:
            self._under_way = set()

    async def _commit_or_repair(self, contributions: Sequence[Contribution]) -> None:
        begun_s, pause_s = time.monotonic(), 0.0
        try:
            await self._producer.commit(*joined(contributions), contributions[0].offer.member)
        except PartitionsUnavailable as error:
            self._set_aside(contributions, error)
        except NotCommitted as error:
            log.warning("transaction not committed", why=str(error), action="retrying")
            self._offer_again([each.offer for each in contributions], self.queue)
            pause_s = next(self._pauses)
        except OutcomeUnknown as error:
            log.warning("transaction's outcome unknown", why=str(error), action="settling it")
            await self._resolve(contributions, begun_s)
        except (OwnershipLost, FatalError) as error:
            _fail(contributions, error)
        else:
            self._observer.transaction_committed(time.monotonic() - begun_s)
            for each in contributions:
                each.finish(begun_s)
            self._pauses = retry_pauses()
            return
        self._observer.transaction_lost()
        # At once, since there may be no next commit here. Until the transaction ends, readers see nothing after its
        # results, and another owner does not know where to start.
        # Forced by test_a_failed_transaction_is_ended_without_another_commit.
        await self._producer.settle()
        await asyncio.sleep(pause_s)

    def _set_aside(self, contributions: Sequence[Contribution], error: PartitionsUnavailable) -> None:
        """Move the offers with unavailable partitions to the retry slot; offer the others again."""
        for each in contributions:
            if each.batches.keys() & error.partitions:
                each.offer.retry_at_s = time.monotonic() + next(each.offer.pauses)
                log.warning("partition not writable", lane=each.offer.name, why=str(error), action="retrying alone")
                self._offer_again([each.offer], self._retry)
        others = [each.offer for each in contributions if not each.batches.keys() & error.partitions]
        self._offer_again(others, self.queue)

    def _offer_again(self, offers: Sequence[Offer], queue: OfferQueue) -> None:
        for offer in offers:
            offer.release()
        queue.put_back([offer for offer in offers if not offer.done.done()])

    async def _resolve(self, contributions: Sequence[Contribution], begun_s: float) -> None:
        """Find out which contributions a transaction has committed, and offer the others again."""
        try:
            await self._producer.settle()
            found = await self._offsets.committed([each.offer.partition for each in contributions])
        except (OwnershipLost, FatalError) as error:
            _fail(contributions, error)
            return
        for each in contributions:
            offer, offset = each.offer, found.get(each.offer.partition)
            if offset == each.publication.next_offset:
                each.finish(begun_s)
            elif offset in (None, offer.committed_offset):  # None: a lane of a new group has begun somewhere
                self._offer_again([offer], self.queue)
            else:
                offer.fail(OwnershipLost(f"the committed offset of {offer.name} is {offset}: another owner's"))


def _fail(contributions: Sequence[Contribution], error: OwnershipLost | FatalError) -> None:
    for each in contributions:
        each.offer.fail(error)
