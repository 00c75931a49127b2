"""A transactional producer: one transactional id, one transaction after the other.

With transactions of version 2 (KIP-890), the end of each transaction gives the epoch of the next one, so that a late
request of an earlier transaction is refused. With version 1 the epoch stays. Therefore no request whose outcome is
unknown is ever sent again: the producer asks for a new epoch, which settles the transaction. A request that a broker
has refused may be sent again, because it has had its effect: none.
Forced by test_requests_of_a_given_up_transaction_that_arrive_late_change_nothing.

    version 2   Produce + TxnOffsetCommit, at once, then EndTxn
    version 1   AddPartitionsToTxn + AddOffsetsToTxn first

A coordinator refuses the offsets of a member that is not in the group any more, or of an earlier generation (KIP-447).
So an instance that was stopped for a while cannot commit what another instance has answered meanwhile.
Forced by test_an_owner_that_wakes_after_a_takeover_commits_nothing.

References
----------
.. [1] KIP-98: Exactly Once Delivery and Transactional Messaging.
.. [2] KIP-447: Producer scalability for exactly once semantics.
.. [3] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, IncompatibleBrokerVersion, KafkaError

from transport.admin.authorization import id_prefix
from transport.denials import denial
from transport.errors import FatalError, OwnershipLost, describe
from transport.protocol.error_codes import (
    CONCURRENT_TRANSACTIONS,
    FATAL,
    GROUP_DENIED,
    ID_DENIED,
    LEADER_NOT_AVAILABLE,
    NOT_COORDINATOR,
    PARTITION_UNAVAILABLE,
    STALE_MEMBER,
    error_for,
)
from transport.protocol.offsets import Member, commit_offsets
from transport.protocol.produce import produce
from transport.protocol.requests import Prepared, codes_of
from transport.protocol.transactions import (
    NO_PRODUCER,
    Producer,
    add_offsets,
    add_partitions,
    end_transaction,
    init_producer_id,
)
from transport.protocol.versions import VERSION_2, api_versions, transaction_version
from transport.settings.kafka import GroupSettings
from transport.sink.batches import OutgoingBatch
from transport.sink.connections import SinkConnections
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

log = structlog.get_logger()

ID_CHARACTERS: Final = 12
CONCURRENT_PAUSES_S: Final = (0.002, 0.003, 0.005)
"""The markers of a transaction are usually written within some milliseconds; the last pause repeats."""
RETRY_PAUSES_S: Final = (0.1, 0.25, 0.5, 1.0)
WARNED_FAILURE: Final = 5
"""A coordinator that has just started refuses the first requests."""
BLOCKED_S: Final = 1.0
"""If the markers of a transaction cannot be written for so long, a partition of it has no leader or too few replicas.
Other partitions must not wait for that: the producer takes another transactional id."""
END_AT_ONCE_S: Final = 1.0
"""The time limit for the end of a transaction that is refused, before its error is raised."""
REPLICAS_SHARE: Final = 0.5
"""A leader waits for its replicas for this part of the request timeout. If it waited as long as the producer does, the
producer would give the leader up in the moment in which the leader reports which partition lacks replicas."""
SEQUENCES: Final = 2**31
"""Sequences begin again at 0 after the largest 32-bit number."""


def new_ids(settings: GroupSettings) -> str:
    """Return what the transactional ids of a new instance begin with; no other instance has such ids."""
    return f"{id_prefix(settings)}{uuid.uuid4().hex[:ID_CHARACTERS]}."


@contextlib.asynccontextmanager
async def open_producers(
    settings: GroupSettings, servers: Sequence[str], ids: str, count: int
) -> AsyncIterator[list[TransactionalProducer]]:
    """Give the producers of an instance, whose transactional ids no other instance has.

    Parameters
    ----------
    settings, servers
        As for `SinkConnections.opened`.
    ids
        What their transactional ids begin with; see `new_ids`.
    count
        How many.

    Raises
    ------
    FatalError
        No broker can be reached.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            shared = await stack.enter_async_context(SinkConnections.opened(settings, servers))
        except (KafkaError, TimeoutError) as error:
            raise FatalError(f"the producer does not start: {describe(error)}") from error
        yield [TransactionalProducer(shared.apart(slot), f"{ids}{slot}", settings) for slot in range(count)]


class TransactionalProducer:
    """Commits transactions, one after the other. Owner: one slot of the publisher.

    Parameters
    ----------
    connections
        To the brokers, used by this producer alone.
    prefix
        Of its transactional ids.
    settings
        The group, and the time limits.
    """

    def __init__(self, connections: SinkConnections, prefix: str, settings: GroupSettings) -> None:
        self._connections = connections
        self._prefix = prefix
        self._replicas_timeout_ms = int(REPLICAS_SHARE * settings.kafka.request_timeout_ms)
        self._transaction_timeout_ms = settings.kafka.transaction_timeout_ms
        self._number = 0
        self._epoch: tuple[int, int] | None = None
        self._was_blocked = False
        """True if the last transaction has waited in vain for the markers of the one before."""
        self._has_version_2 = True
        self._sequences: defaultdict[TopicPartition, int] = defaultdict(int)

    @property
    def transactional_id(self) -> str:
        """The present id."""
        return f"{self._prefix}.{self._number}"

    async def settle(self) -> None:
        """Have an epoch in which no transaction is open; end the one that is. Waits as long as brokers need.

        Afterwards the outcome of the last transaction is decided, or its offsets are unstable until it is. Its markers
        may still be written. If they are blocked, `transactional_id` is another one afterwards.

        Raises
        ------
        FatalError
            A right is missing, or the brokers refuse the producer for good.
        """
        failures, pauses = itertools.count(1), _pauses(RETRY_PAUSES_S)
        markers = _Refusals()
        while self._epoch is None:
            try:
                await self._begin_epoch()
            except ConcurrentTransactions:
                if self._was_blocked or markers.last_too_long():
                    self._take_another_id()
                    markers = _Refusals()
                else:
                    await asyncio.sleep(CONCURRENT_PAUSES_S[-1])
            except IncompatibleBrokerVersion as error:
                raise FatalError(f"cannot commit: {describe(error)}") from error
            except (KafkaError, TimeoutError) as error:
                write = log.warning if next(failures) == WARNED_FAILURE else log.debug
                write("no producer epoch", why=describe(error), action="retrying")
                await self._connections.find_brokers()
                await asyncio.sleep(next(pauses))

    async def _begin_epoch(self) -> None:
        node = await self._connections.transaction_coordinator(self.transactional_id)
        versions = await self._connections.send(node, api_versions())
        answer = await self._connections.send(
            node, init_producer_id(self.transactional_id, self._transaction_timeout_ms)
        )
        if answer.error_code:
            self._raise_if_fatal(answer.error_code, self.transactional_id)
            raise error_for(answer.error_code)
        self._has_version_2 = transaction_version(versions) >= VERSION_2
        self._epoch = answer.producer_id, answer.epoch
        self._was_blocked = False
        self._sequences.clear()

    def _take_another_id(self) -> None:
        log.warning("transaction markers not written", id=self.transactional_id, action="taking another id")
        self._number += 1
        self._was_blocked = False

    async def commit(
        self,
        batches: Mapping[TopicPartition, Sequence[OutgoingBatch]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        """Publish batches and commit offsets in one transaction.

        Parameters
        ----------
        batches
            Of each partition, in order.
        offsets
            The next offset of each partition of requests.
        member
            Who commits them.

        Raises
        ------
        PartitionsUnavailable, NotCommitted
            The transaction will not be committed. The next call settles it first.
        OutcomeUnknown
            It may be committed; after `settle` that is decided.
        OwnershipLost
            The group refuses the member. The transaction will not be committed.
        FatalError
            It would be refused again.
        """
        await self.settle()
        try:
            by_leader = self._by_leader(batches)
        except PartitionsUnavailable:
            await self._connections.refresh()  # nothing else would look for the new leader
            raise
        producer = Producer(self.transactional_id, *(self._epoch or NO_PRODUCER))
        self._epoch = None  # whatever happens now, this epoch is used up, unless the transaction ends in order
        is_ending = False
        try:
            # The answer to this has a total deadline, which it would miss after batches over a slow line.
            await self._connections.group_coordinator(member.group_id)
            if not self._has_version_2:
                await self._add(producer, list(batches), member)
            await self._write(producer, by_leader, offsets, member)
            is_ending = True
            await self._end(producer)
        except (PartitionsUnavailable, OwnershipLost, FatalError):
            await self._end_at_once()
            raise
        except IncompatibleBrokerVersion as error:
            raise FatalError(f"cannot commit: {describe(error)}") from error
        except (KafkaError, TimeoutError) as error:
            self._connections.forget_coordinators()
            self._was_blocked = isinstance(error, ConcurrentTransactions)
            kind = OutcomeUnknown if is_ending else NotCommitted
            raise kind(describe(error)) from error

    async def _end_at_once(self) -> None:
        """Try once to end a transaction that is refused; if that fails, `settle` ends it.

        The caller may have nothing else to commit for a while, and readers of the partitions would wait for its end.
        Forced by test_a_refused_transaction_does_not_block_readers.
        """
        with contextlib.suppress(KafkaError, TimeoutError, FatalError):
            async with asyncio.timeout(END_AT_ONCE_S):
                await self._begin_epoch()

    def _by_leader(
        self, batches: Mapping[TopicPartition, Sequence[OutgoingBatch]]
    ) -> dict[int, dict[TopicPartition, Sequence[OutgoingBatch]]]:
        by_leader: defaultdict[int, dict[TopicPartition, Sequence[OutgoingBatch]]] = defaultdict(dict)
        unavailable: dict[TopicPartition, KafkaError] = {}
        for partition, some in batches.items():
            leader = self._connections.leader(partition)
            if leader is None:
                unavailable[partition] = error_for(LEADER_NOT_AVAILABLE)
            else:
                by_leader[leader][partition] = some
        if unavailable:
            raise PartitionsUnavailable(unavailable)
        return by_leader

    async def _add(self, producer: Producer, partitions: Sequence[TopicPartition], member: Member) -> None:
        """Add partitions and group to a transaction of version 1."""

        def codes(answer: Any) -> set[int]:
            by_partition = codes_of(answer)
            self._raise_if_partitions_refused(by_partition)
            return set(by_partition.values())

        def code(answer: Any) -> set[int]:
            self._raise_if_fatal(answer.error_code, self.transactional_id, member.group_id)
            return {answer.error_code}

        async def coordinator() -> int:
            return await self._connections.transaction_coordinator(producer.transactional_id)

        if partitions:
            await self._ask_coordinator(coordinator, lambda: add_partitions(producer, partitions), codes)
        await self._ask_coordinator(coordinator, lambda: add_offsets(producer, member.group_id), code)

    async def _write(
        self,
        producer: Producer,
        by_leader: Mapping[int, Mapping[TopicPartition, Sequence[OutgoingBatch]]],
        offsets: Mapping[TopicPartition, int],
        member: Member,
    ) -> None:
        """Send the batches to their leaders, and the offsets to the coordinator of the group, all at once."""
        # All are awaited also if one fails: a request that is cancelled would close a connection that others use.
        ended = await asyncio.gather(
            *(self._write_to(leader, producer, some) for leader, some in by_leader.items()),
            self._write_offsets(producer, offsets, member),
            return_exceptions=True,
        )
        errors = [error for error in ended if isinstance(error, BaseException)]
        for kind in (FatalError, OwnershipLost):
            for error in errors:
                if isinstance(error, kind):
                    raise error
        unavailable = [error.partitions for error in errors if isinstance(error, PartitionsUnavailable)]
        if unavailable:
            await self._connections.refresh()
            raise PartitionsUnavailable(dict(itertools.chain.from_iterable(each.items() for each in unavailable)))
        for error in errors:
            raise error

    async def _write_to(
        self, leader: int, producer: Producer, batches: Mapping[TopicPartition, Sequence[OutgoingBatch]]
    ) -> None:
        """Send batches to one leader; a request has one batch of a partition at most."""
        for turn in range(max(map(len, batches.values()))):
            round_of = {partition: some[turn] for partition, some in batches.items() if turn < len(some)}
            await self._write_round(leader, producer, round_of)
            for partition, batch in round_of.items():
                self._sequences[partition] = (self._sequences[partition] + batch.records) % SEQUENCES

    async def _write_round(
        self, leader: int, producer: Producer, batches: Mapping[TopicPartition, OutgoingBatch]
    ) -> None:
        _, producer_id, epoch = producer
        left, refusals = dict(batches), _Refusals()
        while left:
            stamped = {
                partition: batch.stamp(producer_id, epoch, self._sequences[partition])
                for partition, batch in left.items()
            }
            request = produce(
                producer.transactional_id, stamped, self._replicas_timeout_ms, version_2=self._has_version_2
            )
            codes = codes_of(await self._connections.send(leader, request))
            self._raise_if_partitions_refused(codes)
            for partition, code in codes.items():
                if code and code != CONCURRENT_TRANSACTIONS:
                    raise error_for(code, partition.topic)
            left = {partition: left[partition] for partition, code in codes.items() if code}
            if left:
                await refusals.pause(CONCURRENT_TRANSACTIONS)

    def _raise_if_partitions_refused(self, codes: Mapping[TopicPartition, int]) -> None:
        for partition, code in codes.items():
            self._raise_if_fatal(code, partition.topic)
        unavailable = {partition: error_for(code) for partition, code in codes.items() if code in PARTITION_UNAVAILABLE}
        if unavailable:
            raise PartitionsUnavailable(unavailable)

    async def _write_offsets(self, producer: Producer, offsets: Mapping[TopicPartition, int], member: Member) -> None:
        def codes(answer: Any) -> set[int]:
            by_partition = codes_of(answer)
            for partition, code in by_partition.items():
                # The client's sentence is about the right to read the requests, whose offsets these are.
                self._raise_if_fatal(code, partition.topic, member.group_id, topic_right="Read")
                if code in STALE_MEMBER:
                    raise OwnershipLost(f"the group refuses the offsets: {describe(error_for(code))}")
            return set(by_partition.values())

        await self._ask_coordinator(
            lambda: self._connections.group_coordinator(member.group_id),
            lambda: commit_offsets(producer, member, offsets, version_2=self._has_version_2),
            codes,
        )

    async def _end(self, producer: Producer) -> None:
        answer = await self._ask_coordinator(
            lambda: self._connections.transaction_coordinator(producer.transactional_id),
            lambda: end_transaction(producer, commit=True, version_2=self._has_version_2),
            lambda answer: {answer.error_code},
        )
        if self._has_version_2:
            self._epoch = answer.producer_id, answer.epoch
            self._sequences.clear()
        else:
            self._epoch = producer.producer_id, producer.epoch

    async def _ask_coordinator(
        self,
        coordinator: Callable[[], Awaitable[int]],
        request: Callable[[], Prepared],
        codes: Callable[[Any], set[int]],
    ) -> Any:
        """Send a request until its coordinator does not refuse it for the moment; raise any other error."""
        refusals = _Refusals()
        while True:
            answer = await self._connections.send(await coordinator(), request())
            refused = {code for code in codes(answer) if code}
            if not refused:
                return answer
            for code in refused - NOT_COORDINATOR - {CONCURRENT_TRANSACTIONS}:
                self._raise_if_fatal(code, self.transactional_id)
                raise error_for(code)
            if refused & NOT_COORDINATOR:
                self._connections.forget_coordinators()
            await refusals.pause(min(refused))  # a coordinator that has moved says nothing of markers

    def _raise_if_fatal(self, code: int, *about: str, topic_right: str = "Write") -> None:
        if code not in FATAL:
            return
        group = code == GROUP_DENIED and len(about) > 1
        error = error_for(code, self.transactional_id if code == ID_DENIED else about[1 if group else 0])
        raise FatalError(f"cannot commit: {denial(error, topic_right=topic_right) or describe(error)}") from error


class _Refusals:
    """The refusals of one request in a row, for a reason that ends by itself: how long to pause, when to give up."""

    def __init__(self) -> None:
        self._pauses = _pauses(CONCURRENT_PAUSES_S)
        self._since_s: float | None = None

    def last_too_long(self) -> bool:
        """Return whether the request has been refused for `BLOCKED_S`; the first call is at the first refusal."""
        now_s = asyncio.get_running_loop().time()
        self._since_s = now_s if self._since_s is None else self._since_s
        return now_s - self._since_s >= BLOCKED_S

    async def pause(self, code: int) -> None:
        """Pause before the request is repeated.

        Raises
        ------
        KafkaError
            It has been refused for too long; the error is that of the last refusal.
        """
        if self.last_too_long():
            raise error_for(code)
        await asyncio.sleep(next(self._pauses))


def _pauses(seconds: Sequence[float]) -> Iterator[float]:
    return itertools.chain(seconds, itertools.repeat(seconds[-1]))
