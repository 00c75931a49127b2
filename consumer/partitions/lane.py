"""A lane carries the records of one partition from fetch to commit.

open      find where to start, see `consumer.partitions.opening`
fetch     take the batches that have arrived, without waiting for more; cut them into chunks; no record is parsed
admit     wait until the memory budget has room for a chunk
classify  submit chunks to the workers; the next chunks go there while earlier ones commit
publish   have the publisher commit parts of chunks, and the offset after their records, in one transaction

Markers and aborted records of senders' transactions have offsets, too; the position passes them. The lane commits that
position when nothing else is in flight. Otherwise retention could delete the marker at the committed offset, and the
next owner would believe that the offset is lost.

A lane ends *revoked* (it finishes the transaction it has begun and drops the rest), *drained* (it publishes all that
is in flight), *lost* (there may be another owner: it drops all) or with a *fatal* error (the service stops). It
never skips an offset.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import Enum, auto

import structlog
from aiokafka import TopicPartition

from consumer.partitions.chunks import Cut, cut
from consumer.partitions.endpoints import Classifier, Opened, Partitions, Source
from consumer.partitions.in_flight import Chunk, InFlightWindow
from consumer.partitions.observers import LaneObserver
from consumer.partitions.offers import Offer
from consumer.partitions.publisher import Publisher
from consumer.partitions.state import OffsetLost, PartitionState
from consumer.settings import Settings
from transport.errors import FatalError, OwnershipLost, leaf_exceptions
from transport.reading.log_ends import LogEnds

log = structlog.get_logger()


class End(Enum):
    """How a lane ended, if not with a fatal error."""

    REVOKED = auto()
    DRAINED = auto()
    LOST = auto()


class Lane:
    """One assigned partition. Owner: the task ``lane TOPIC/PARTITION``.

    It alone moves the source's position. `Assignment` calls `drain` and `revoke`; health reads the
    public attributes, nothing else.

    Parameters
    ----------
    partition, state
        Which, and what earlier lanes of the partition in this process have left.
    partitions
        Opens the partition.
    classifier
        Answers the requests.
    window
        Its chunks in flight.
    publisher
        Makes the transactions of all lanes.
    settings
        How large chunks are.
    dead_letter_bytes
        The largest record that the dead-letter topic takes.
    observer
        Receives the events.
    """

    def __init__(
        self,
        partition: TopicPartition,
        state: PartitionState,
        *,
        partitions: Partitions,
        classifier: Classifier,
        window: InFlightWindow,
        publisher: Publisher,
        settings: Settings,
        dead_letter_bytes: int,
        observer: LaneObserver,
    ) -> None:
        self.partition = partition
        self.name = f"{partition.topic}/{partition.partition}"
        self.state = state
        self._partitions = partitions
        self._classifier = classifier
        self._window = window
        self._publisher = publisher
        self._settings = settings
        self._dead_letter_bytes = dead_letter_bytes
        self._observer = observer
        self._source: Source | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._end: End | None = None
        self._offer: Offer | None = None
        self.started = False
        self.progressed_at_s = time.monotonic()
        self.committed_at_ms: int | None = None
        """Time of this lane's last commit, in ms since 1970; None before the first."""

    @property
    def committed_offset(self) -> int | None:
        """As of the last commit or start; None before the first start."""
        return self.state.committed_offset

    @property
    def parked(self) -> OffsetLost | None:
        """Why nothing is fetched until an operator repairs the group's offset; None: the offset is in order."""
        return self.state.parked

    @property
    def records_in_flight(self) -> int:
        """Records fetched and not yet committed."""
        return self._window.records

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of these records, as the memory budget counts them."""
        return self._window.size_bytes

    @property
    def in_transaction(self) -> bool:
        """True while a transaction with records of this lane is under way."""
        return self._offer is not None and self._offer.is_taken

    @property
    def waits_for_brokers(self) -> bool:
        """True while answers wait for a transaction, or are in one: a restart would not help."""
        return self._offer is not None

    @property
    def readable_records(self) -> int:
        """Records in flight, and offsets after them that may be read: not those after an open transaction."""
        return self._window.records + (0 if self._source is None else self._source.lag_records())

    @property
    def oldest_at_ms(self) -> int | None:
        """Timestamp of the oldest record in flight, in ms since 1970; None if there is none."""
        return self._window.oldest_at_ms

    @property
    def ends(self) -> LogEnds | None:
        """Where the log ends, as of the last fetch or look at the ends; None if it has just been revoked."""
        return self._partitions.ends(self.partition)

    async def run(self) -> End:
        """Carry records until the lane ends; raise only `FatalError`, since that ends all other lanes."""
        try:
            async with self._partitions.open(self.partition, self.state, self._window.has_room) as opened:
                self._source = opened.source
                await self._carry(opened)
        except OwnershipLost as lost:
            log.warning("lane lost", partition=self.name, why=str(lost), action="asking the group")
            return self._end or End.LOST  # if it was revoked meanwhile, the group need not be asked
        finally:
            self._window.drop()
        return self._end or End.REVOKED

    def drain(self) -> None:
        """Fetch nothing more; publish all that is in flight, then end."""
        self._end = self._end or End.DRAINED
        self._stop_fetching()

    def revoke(self) -> None:
        """Finish a transaction that has begun, drop the rest, end: the next owner repeats it."""
        self._end = End.REVOKED
        self._stop_fetching()
        if self._offer is not None:
            self._offer.withdraw()
        elif self._publishing is not None:
            self._publishing.cancel()

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            self._window.close()  # here, since the fetching task may never have run

    async def _carry(self, opened: Opened) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._fetching = group.create_task(self._fetch(opened.source, group), name=f"fetch {self.name}")
                self._publishing = group.create_task(self._publish(opened), name=f"publish {self.name}")
                self.started = True
                if self._end is not None:  # revoked or drained while it started
                    self._stop_fetching()
        except ExceptionGroup as errors:
            causes = leaf_exceptions(errors)
            for kind in (FatalError, OwnershipLost):
                for cause in causes:
                    if isinstance(cause, kind):
                        raise cause from errors
            raise

    async def _fetch(self, source: Source, group: asyncio.TaskGroup) -> None:
        try:
            while True:
                await self._fetch_once(source, group)
        finally:
            self._window.close()  # the publisher ends when the window is empty

    async def _fetch_once(self, source: Source, group: asyncio.TaskGroup) -> None:
        """Take what has arrived, and submit it.

        This is a method of its own so that no local variable keeps the last records in memory while the lane waits for
        the next ones: they are not in the memory budget any more.
        Forced by test_a_lane_that_waits_keeps_no_records_in_memory.
        """
        fetched = await source.fetch()
        self._observer.fetched(sum(len(batch.data) for batch in fetched.batches))
        # All chunks are cut at once, so that each holds the time of its fetch, not of its admission.
        cuts = list(cut(self.partition, fetched, self._settings, self._dead_letter_bytes))
        self._window.note_fetched(sum(each.size_bytes for each in cuts))
        for each in cuts:
            await self._admit(each, group)
        if not cuts:
            await self._commit_position(source.offset)

    async def _admit(self, each: Cut, group: asyncio.TaskGroup) -> None:
        """Wait until a chunk has room in the window, and submit it to the workers."""
        await self._window.acquire(each.size_bytes)
        self._observer.admitted(time.monotonic() - each.fetched_s)
        if self._window.records == 0:
            self._note_progress()
        chunk = Chunk.of(each)
        chunk.classifying = group.create_task(self._classify(chunk), name=f"classify {self.name}")
        self._window.add(chunk)

    async def _commit_position(self, offset: int) -> None:
        """Commit the position of an idle lane, if it has passed markers or aborted records.

        A fetch that finds nothing lasts `IDLE_S` of `transport.source.partition`, so this happens at most once in that
        time. All records before the position were added to the window; as it is empty, they are committed.
        """
        committed = self.state.committed_offset
        if self._window.is_empty and committed is not None and offset > committed:
            await self._window.acquire(0)
            self._window.add(Chunk.without_records(self.partition, offset))

    async def _classify(self, chunk: Chunk) -> None:
        async with contextlib.aclosing(self._classifier.classify(chunk.task)) as parts:
            async for part in parts:
                self.progressed_at_s = self._window.deliver(chunk, part).classified_s
                await self._window.room_in(chunk)
        self._observer.classified(self.progressed_at_s - chunk.submitted_s)

    async def _publish(self, opened: Opened) -> None:
        try:
            while await self._window.first() is not None:
                await self._publish_once(opened)
                if self._end is End.REVOKED:
                    return
        finally:
            self._window.drop()

    async def _publish_once(self, opened: Opened) -> None:
        """Have the publisher commit what is ready; as in `_fetch_once`, nothing of it stays in a local variable."""
        self._offer = Offer(
            self.partition, opened.member, opened.targets, self.state.committed_offset, self._window.ready
        )
        try:
            publication = await self._publisher.publish(self._offer)
        finally:
            self._offer = None
        self.state.committed_offset = publication.next_offset
        self.committed_at_ms = publication.committed_at_ms
        self.progressed_at_s = publication.committed_s
        self._observer.committed(publication)
        self._window.release(len(publication.parts))

    def _note_progress(self) -> None:
        self.progressed_at_s = time.monotonic()


OpenLane = Callable[[TopicPartition, PartitionState], Lane]
"""Makes a lane that has not begun."""
