"""How a lane takes its partition over: it finds where to start, or parks.

No producer has to be fenced. The group's coordinator refuses the offsets of a former owner, because they carry the
member and its generation, and so its whole transaction fails. A transaction that a former owner has begun to
end before that is waited for: until then the offset is not stable.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.endpoints import Opened
from consumer.partitions.in_flight import Chunk
from consumer.partitions.offers import Offer
from consumer.partitions.opening.position import start_offset, wait_for_repair
from consumer.partitions.opening.reset import reset_offset
from consumer.partitions.publisher import Publisher
from consumer.partitions.state import OffsetLost, PartitionState
from consumer.settings import Settings
from transport.errors import OwnershipLost
from transport.group.lookups import Lookups
from transport.group.membership import Membership
from transport.internals import cluster_metadata_of
from transport.protocol.offsets import Member
from transport.reading.log_ends import LogEnds, known_ends
from transport.sink.leftovers import LeftTransactions
from transport.source.fetching import Fetching

log = structlog.get_logger()


class KafkaPartitions:
    """Opens partitions of the requests topic. Owner: the service; each lane enters `open` once.

    Parameters
    ----------
    consumer
        The group member.
    membership
        Whether the group counts us among its members.
    fetching
        Opens the sources.
    publisher
        Commits where a partition starts, if the group has no offset.
    left
        Ends transactions of instances that have died.
    lookups
        Looks up the offsets of all lanes that start.
    settings
        How to connect, and where to start.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        membership: Membership,
        *,
        fetching: Fetching,
        publisher: Publisher,
        left: LeftTransactions,
        lookups: Lookups,
        settings: Settings,
    ) -> None:
        self._consumer = consumer
        self._membership = membership
        self._fetching = fetching
        self._publisher = publisher
        self._left = left
        self._lookups = lookups
        self._settings = settings

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return where the log of a partition ends, as of the last fetch or look at the ends; None if not assigned."""
        return known_ends(self._consumer, partition)

    @contextlib.asynccontextmanager
    async def open(
        self, partition: TopicPartition, state: PartitionState, has_room: Callable[[], bool]
    ) -> AsyncIterator[Opened]:
        """Find where to start, and give the lane what it needs. Nothing is fetched while `has_room` returns false.

        Raises
        ------
        OwnershipLost
            The brokers did not answer in time, or the partition may no longer be ours.
        FatalError
            A right is missing.
        """
        # Why the offset must be stable, and carries the member:
        #   1. The old owner, stalled, has sent results up to offset 512; committed is 256.
        #   2. The group gives us the partition. We read 256 and fetch from there.
        #   3. The old owner wakes and commits 512. We publish 256..511 a second time.
        # If the old owner has sent its offset before event 2, that offset is open, and 256 is not stable: we wait for
        # the end of its transaction. If it sends it after event 2, the coordinator refuses it.
        # Forced by test_an_owner_that_wakes_after_a_takeover_commits_nothing.
        # The old owner may also be a lane of this very instance, in the same generation: one that could not fetch any
        # more while its transaction was under way. The coordinator would take its offset, so we wait for its end.
        # Forced by test_a_partition_is_free_once_the_transaction_of_its_last_lane_has_ended.
        await self._publisher.partition_free(partition)
        member = self._membership.member()
        targets = self._targets(partition)
        offset = await self._start_offset(partition, state, member, targets)
        source = self._fetching.open(partition, offset, has_room)
        try:
            yield Opened(source, member, targets)
        finally:
            self._fetching.close(source)

    def _targets(self, partition: TopicPartition) -> Mapping[str, TopicPartition]:
        """Return the partition of each output topic that gets the records of this one."""
        cluster, topics = cluster_metadata_of(self._consumer), self._settings.topics
        targets = {}
        for topic in (topics.predictions, topics.dead_letter):
            known = cluster.partitions_for_topic(topic)
            if not known:
                raise OwnershipLost(f"the brokers do not know topic {topic}")
            targets[topic] = TopicPartition(topic, partition.partition % len(known))
        return targets

    async def _start_offset(
        self, partition: TopicPartition, state: PartitionState, member: Member, targets: Mapping[str, TopicPartition]
    ) -> int:
        """Find where to start; park while the committed offset is lost, or nothing says where to start.

        A parked lane has not started, so that a revoke or a drain cancels it: it has begun nothing. It goes on when the
        group has another offset. That the log has grown past the lost offset does not suffice: the records there would
        be others.
        """
        while True:
            if state.parked is not None:
                await wait_for_repair(self._consumer, partition, state.parked.committed)
            try:
                offset = await start_offset(
                    self._consumer,
                    partition,
                    self._settings.kafka.on_lost_offset,
                    self._left.look,
                    lookups=self._lookups,
                )
                if offset is None:
                    offset = await self._reset_offset(partition, member, targets)
            except OffsetLost as lost:
                name = f"{partition.topic}/{partition.partition}"
                log.error("partition parked", partition=name, why=str(lost), action="others continue")  # noqa: TRY400  # the sentence is the message
                state.parked, state.committed_offset = lost, lost.committed
            else:
                state.parked, state.committed_offset = None, offset
                return offset

    async def _reset_offset(
        self, partition: TopicPartition, member: Member, targets: Mapping[str, TopicPartition]
    ) -> int:
        """Decide where to start if the group has no offset, and commit that.

        A later owner could decide otherwise: the results from which it follows may be deleted by then, and a new end
        of the log would skip requests.
        """
        results = targets[self._settings.topics.predictions]
        start = await reset_offset(self._consumer, partition, results, self._settings, lookups=self._lookups)
        if start.is_known:
            moved = Chunk.without_records(partition, start.offset)
            await self._publisher.publish(Offer(partition, member, targets, None, lambda _: [*moved.parts]))
        return start.offset
