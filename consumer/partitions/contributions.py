"""What each lane adds to a transaction: batches of results and dead letters, and an offset."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from consumer.partitions.observers import Publication
from consumer.partitions.offers import Offer
from contract.topics import TopicSettings
from transport.batches.layout import BatchHeader
from transport.sink.batches import OutgoingBatch


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an offer adds to a transaction. Owner: the slot that commits it."""

    offer: Offer
    publication: Publication
    batches: Mapping[TopicPartition, Sequence[OutgoingBatch]]
    has_more: bool
    """True if more was ready than fits."""

    @classmethod
    def take(cls, offer: Offer, limit_bytes: int, topics: TopicSettings) -> Contribution:
        """Take the parts of an offer that are ready: at least one, and as many as fit into a number of bytes."""
        offer.is_taken = True
        parts = offer.ready(limit_bytes)
        batches = {
            offer.targets[topic]: [_outgoing(batch) for some in by_part for batch in some]
            for topic, by_part in (
                (topics.predictions, [ready.part.results for ready in parts]),
                (topics.dead_letter, [ready.part.dead_letters for ready in parts]),
            )
            if any(by_part)
        }
        has_more = len(offer.ready(sys.maxsize)) > len(parts)
        return cls(offer, Publication(offer.partition, parts), batches, has_more)

    @property
    def size_bytes(self) -> int:
        """Bytes of all batches."""
        return sum(len(batch.data) for batches in self.batches.values() for batch in batches)

    def finish(self, begun_s: float) -> None:
        """Note in the offer that the transaction, which began at `begun_s`, is committed."""
        self.offer.is_taken = False
        if not self.offer.done.done():
            self.offer.done.set_result(self.publication.committed(begun_s))


def joined(
    contributions: Sequence[Contribution],
) -> tuple[dict[TopicPartition, list[OutgoingBatch]], dict[TopicPartition, int]]:
    """Return all batches by partition, and the offsets. Two lanes may have one partition of results."""
    batches: dict[TopicPartition, list[OutgoingBatch]] = {}
    for each in contributions:
        for partition, some in each.batches.items():
            batches.setdefault(partition, []).extend(some)
    return batches, {each.offer.partition: each.publication.next_offset for each in contributions}


def _outgoing(batch: bytearray) -> OutgoingBatch:
    return OutgoingBatch(batch, BatchHeader.parse(batch).record_count)
