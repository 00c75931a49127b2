"""How a lane takes its partition over: it fences the previous owner, then finds where to start, or parks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.partitions.endpoints import Endpoints
from consumer.partitions.opening.position import start_offset, wait_for_repair
from consumer.partitions.opening.reset import reset_offset
from consumer.partitions.state import OffsetLost, PartitionState
from consumer.settings import Settings
from transport.group.membership import Membership
from transport.metadata import live_servers
from transport.reading.fetching import Fetcher
from transport.reading.log_ends import LogEnds, known_ends
from transport.transactions import OutgoingRecord, PartitionProducer

log = structlog.get_logger()


class KafkaPartitions:
    """Opens partitions of the requests topic. Owner: the service; each lane enters `open` once.

    Parameters
    ----------
    consumer
        The group member, whose position in the partition the lane moves.
    membership
        Whether the group counts us among its members.
    settings
        How to connect, and where to start.
    """

    def __init__(self, consumer: AIOKafkaConsumer, membership: Membership, settings: Settings) -> None:
        self._consumer = consumer
        self._membership = membership
        self._settings = settings

    def ends(self, partition: TopicPartition) -> LogEnds | None:
        """Return where the log of a partition ends, as of the last fetch or look at the ends; None if not assigned."""
        return known_ends(self._consumer, partition)

    @contextlib.asynccontextmanager
    async def open(self, partition: TopicPartition, state: PartitionState) -> AsyncIterator[Endpoints]:
        """Fence the previous owner, find where to start, and give both ends of the partition.

        Raises
        ------
        OwnershipLost
            The brokers did not answer in time, or the partition may no longer be ours.
        FatalError
            A right is missing.
        """
        # Why the producer starts before the offset is read:
        #   1. The old owner, stalled, has sent results up to offset 512; committed is 256.
        #   2. The group gives us the partition. We read 256 and fetch from there.
        #   3. The old owner wakes and commits 512. We publish 256..511 a second time.
        # Our producer's start fences the old owner and aborts what it had open: event 3 now ends in ProducerFenced,
        # and the offset read below can no longer move.
        # Forced by test_an_owner_that_wakes_after_a_takeover_commits_nothing.
        #
        # Why the group is asked before that, and before each commit, if it has not confirmed us for a session:
        #   1. The partition is given to us, and this process is stopped for longer than its session.
        #   2. The group gives the partition to another instance, which answers.
        #   3. We go on, and fence the rightful owner, and commit before the next heartbeat is refused.
        # Forced by test_an_owner_that_stops_past_its_session_asks_the_group_before_fencing.
        await self._membership.ensure_confirmed()
        servers = live_servers(self._consumer)
        async with PartitionProducer.fencing(partition, self._settings, servers) as producer:
            await self._membership.ensure_confirmed()
            sink = _MemberSink(producer, self._membership)
            offset = await self._start_offset(partition, state, sink)
            yield Endpoints(Fetcher(self._consumer, partition, offset), sink)

    async def _start_offset(self, partition: TopicPartition, state: PartitionState, sink: _MemberSink) -> int:
        """Find where to start; park while the committed offset is lost, or nothing says where to start.

        A parked lane has not started, so that a revoke or a drain cancels it: it has begun nothing. It keeps the
        partition fenced, and goes on when the group has another offset. That the log has grown past the lost offset
        does not suffice: the records there would be others.
        """
        while True:
            if state.parked is not None:
                await wait_for_repair(self._consumer, partition, state.parked.committed)
            try:
                offset = await start_offset(self._consumer, partition, self._settings.kafka.on_lost_offset)
                if offset is None:
                    offset = await self._reset_offset(partition, sink)
            except OffsetLost as lost:
                name = f"{partition.topic}/{partition.partition}"
                log.error("partition parked", partition=name, why=str(lost), action="others continue")  # noqa: TRY400  # the sentence is the message
                state.parked, state.committed_offset = lost, lost.committed
            else:
                state.parked, state.committed_offset = None, offset
                return offset

    async def _reset_offset(self, partition: TopicPartition, sink: _MemberSink) -> int:
        """Decide where to start if the group has no offset, and commit that.

        A later owner could decide otherwise: the results from which it follows may be deleted by then, and a new end
        of the log would skip requests.
        """
        predictions = self._settings.topics.predictions
        results = TopicPartition(predictions, partition.partition % await sink.partition_count(predictions))
        start = await reset_offset(self._consumer, partition, results, self._settings)
        if start.is_known:
            await sink.confirm_ownership()
            await sink.commit({}, start.offset)
        return start.offset


class _MemberSink:
    """The sink of one partition: its transactional producer, and the group that confirms the ownership."""

    def __init__(self, producer: PartitionProducer, membership: Membership) -> None:
        self._producer = producer
        self.confirm_ownership = membership.ensure_confirmed
        self.partition_count = producer.partition_count

    async def commit(self, outgoing: Mapping[TopicPartition, Iterable[OutgoingRecord]], next_offset: int) -> None:
        await self._producer.commit(outgoing, next_offset)
