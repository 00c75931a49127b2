"""The publisher: puts the answers of all lanes that are ready, and the offsets after them, into one transaction.

A transaction costs about the same whatever is in it. While one is under way, the answers for the next one collect, so
that transactions grow with the load by themselves. There are several slots, each with a transactional producer and
connections of its own:

ordinary   takes what all lanes have ready; while there is much, it lets more collect first
large      takes one lane with many bytes at a time, so that the others do not wait for a slow line
retry      takes one lane at a time whose partition of results cannot be written to: the others go on without it

A lane is in one slot at a time, so its results are published in order.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from consumer.partitions.contributions import Contribution
from consumer.partitions.observers import LaneObserver, Publication
from consumer.partitions.offers import Offer, OfferQueue
from consumer.partitions.slot import Offsets, Producer, Slot
from consumer.settings import Settings

LARGE_BYTES: Final = 1024 * 1024
"""A part with more bytes goes to the slot for large ones."""
ORDINARY_BYTES: Final = 8 * 1024 * 1024
"""About how many bytes of all lanes the ordinary slot takes at once."""
COLLECT_RECORDS: Final = 128
"""After a transaction that answers this many requests, the next one collects more: now the rate counts, not latency.

Images of archives do not count: a sender may wait for one archive before it sends the next, and a transaction costs
little beside a thousand images.
"""
COLLECT_S: Final = 0.1
"""How long after such a transaction has begun the next one begins, at the earliest.

Brokers need about as much processor time for a transaction as for a thousand records: a backlog is answered half as
fast again with ten transactions a second as with forty. `make bench ARGS=drain` measures rate and brokers.
"""
MARKERS_S: Final = 0.004
"""How long after the end of a transaction the next one begins, at the earliest.

Brokers write the markers of a transaction after they have answered its end, which takes some milliseconds. If the next
transaction of the same producer comes before, the broker lets its records wait for 20 ms
(`add.partitions.to.txn.retry.backoff.ms`). Meanwhile more answers collect.
"""


class SlotProducers(NamedTuple):
    """The producers of an instance, each used by one slot."""

    ordinary: Producer
    large: Producer
    retry: Producer


class Publisher:
    """Commits the transactions of an instance. Owner: the service; a task for each slot, and lanes call `publish`.

    Parameters
    ----------
    producers
        One for each slot.
    offsets
        Reads committed offsets, after a transaction whose outcome is unknown.
    settings
        The topics, and how large transactions may be.
    observer
        Receives the events.
    """

    def __init__(
        self,
        producers: SlotProducers,
        offsets: Offsets,
        settings: Settings,
        *,
        observer: LaneObserver,
    ) -> None:
        retry = OfferQueue()

        def slot(producer: Producer, queue: OfferQueue) -> Slot:
            return Slot(producer, queue, retry=retry, offsets=offsets, observer=observer)

        self._ordinary = slot(producers.ordinary, OfferQueue())
        self._large = slot(producers.large, OfferQueue())
        self._retry = slot(producers.retry, retry)
        self._topics = settings.topics
        self._large_bytes = min(LARGE_BYTES, settings.pacing.transaction_bytes)
        self._transaction_bytes = settings.pacing.transaction_bytes
        self._has_ended = asyncio.Event()

    async def run(self) -> None:
        """Commit what lanes publish, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve_ordinary(), name="publish")
            group.create_task(self._serve_each(self._large), name="publish large")
            group.create_task(self._serve_each(self._retry), name="publish retry")

    async def publish(self, offer: Offer) -> Publication:
        """Return when the answers of an offer are committed.

        Raises
        ------
        OwnershipLost
            The group has another owner for the partition, or the offer was withdrawn.
        FatalError
            The brokers would refuse it again.
        """
        slot = self._large if offer.size_bytes > self._large_bytes else self._ordinary
        slot.queue.append(offer)
        return await offer.done

    async def partition_free(self, partition: TopicPartition) -> None:
        """Return when no transaction with a partition is under way, also none of a lane that has ended meanwhile.

        Until then its committed offset may change, although it seems to be stable.
        """
        while any(slot.has_under_way(partition) for slot in (self._ordinary, self._large, self._retry)):
            self._has_ended.clear()
            await self._has_ended.wait()

    async def _serve_ordinary(self) -> None:
        while True:
            await self._ordinary.queue.due()
            await asyncio.sleep(0)  # lanes whose last transaction has just ended add their next answers
            collected_at_s = time.monotonic() + COLLECT_S
            collects = await self._commit_ordinary()
            await asyncio.sleep(max(MARKERS_S, collected_at_s - time.monotonic() if collects else 0.0))

    async def _commit_ordinary(self) -> bool:
        """Commit what the lanes have ready. Nothing keeps it afterwards.

        Returns
        -------
        bool
            True if the next transaction should collect more: this one answered many requests, and left none waiting.
        """
        contributions: list[Contribution] = []
        size_bytes = 0
        for offer in self._ordinary.queue.take():
            contributions.append(Contribution.take(offer, self._large_bytes, self._topics))
            size_bytes += contributions[-1].size_bytes
            if size_bytes > ORDINARY_BYTES:
                break
        has_more = size_bytes > ORDINARY_BYTES or any(each.has_more for each in contributions)
        await self._commit(self._ordinary, contributions)
        return not has_more and sum(each.publication.records for each in contributions) >= COLLECT_RECORDS

    async def _serve_each(self, slot: Slot) -> None:
        while True:
            await slot.queue.due()
            await self._commit_first(slot)

    async def _commit_first(self, slot: Slot) -> None:
        """Commit what the first lane has ready. Nothing keeps it afterwards."""
        for offer in itertools.islice(slot.queue.take(), 1):
            await self._commit(slot, [Contribution.take(offer, self._transaction_bytes, self._topics)])

    async def _commit(self, slot: Slot, contributions: Sequence[Contribution]) -> None:
        if not contributions:
            return  # they were withdrawn meanwhile
        try:
            await slot.commit(contributions)
        finally:
            self._has_ended.set()
