"""What lanes offer to publish, and the queues in which that waits for a transaction."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition

from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import Publication
from transport.errors import FatalError, OwnershipLost
from transport.protocol.offsets import Member
from transport.retry import repeating

RETRY_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a partition that cannot be written to is tried again, and after a failed transaction; the last repeats."""


def retry_pauses() -> Iterator[float]:
    """Yield the pauses before one attempt after the other."""
    return repeating(RETRY_PAUSES_S)


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
    pauses: Iterator[float] = field(default_factory=retry_pauses)
    done: asyncio.Future[Publication] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def name(self) -> str:
        """Of its partition, for log lines."""
        return f"{self.partition.topic}/{self.partition.partition}"

    @property
    def size_bytes(self) -> int:
        """Bytes of the first part."""
        return self.ready(0)[0].size_bytes

    def withdraw(self) -> None:
        """Let a transaction that has begun end, and begin none: `done` is then cancelled."""
        self.is_withdrawn = True
        if not self.is_taken:
            self.done.cancel()

    def release(self) -> None:
        """Wait for another transaction, since this one was not committed; if it was withdrawn, `done` is cancelled."""
        self.is_taken = False
        if self.is_withdrawn:
            self.withdraw()

    def fail(self, error: OwnershipLost | FatalError) -> None:
        """End with an error of its own: several tasks must not raise the same object."""
        self.is_taken = False
        if not self.done.done():
            self.done.set_exception(type(error)(str(error)))


class OfferQueue:
    """Offers that wait for one slot. Owner: the slot; lanes append."""

    def __init__(self) -> None:
        self._offers: deque[Offer] = deque()
        self._changed = asyncio.Event()

    def append(self, offer: Offer) -> None:
        """Put an offer at the end."""
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
