"""One transaction: its batches go to their leaders, its offsets to the coordinator of the group, and then it ends.

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
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

from transport.errors import FatalError, OwnershipLost, describe
from transport.protocol.error_codes import (
    CONCURRENT_TRANSACTIONS,
    NOT_COORDINATOR,
    PARTITION_UNAVAILABLE,
    STALE_MEMBER,
    error_for,
)
from transport.protocol.offsets import Member, commit_offsets
from transport.protocol.produce import produce
from transport.protocol.requests import Prepared, codes_of
from transport.protocol.transactions import add_offsets, add_partitions, end_transaction
from transport.sink.batches import OutgoingBatch
from transport.sink.connections import SinkConnections
from transport.sink.epochs import Epoch
from transport.sink.outcomes import PartitionsUnavailable
from transport.sink.refusals import Refusals, raise_if_fatal

SEQUENCES: Final = 2**31
"""Sequences begin again at 0 after the largest 32-bit number."""


class Transaction:
    """The requests of one transaction. Owner: `TransactionalProducer.commit`.

    Parameters
    ----------
    connections
        To the brokers, used by its producer alone.
    epoch
        In which it happens. The sequences of its partitions go on with what is written.
    member
        Who commits the offsets.
    replicas_timeout_ms
        How long leaders wait for their replicas.
    """

    def __init__(self, connections: SinkConnections, epoch: Epoch, member: Member, replicas_timeout_ms: int) -> None:
        self._connections = connections
        self._epoch = epoch
        self._id = epoch.producer.transactional_id
        self._member = member
        self._replicas_timeout_ms = replicas_timeout_ms

    async def write(
        self,
        batches: Mapping[int, Mapping[TopicPartition, Sequence[OutgoingBatch]]],
        offsets: Mapping[TopicPartition, int],
    ) -> None:
        """Send the batches to their leaders, and the offsets to the coordinator of the group, all at once.

        Raises
        ------
        PartitionsUnavailable, OwnershipLost, FatalError, KafkaError, TimeoutError
            The transaction cannot be committed any more.
        """
        # The answer to this has a total deadline, which it would miss after batches over a slow line.
        await self._connections.group_coordinator(self._member.group_id)
        if not self._epoch.has_version_2:
            await self._add([partition for some in batches.values() for partition in some])
        # All are awaited also if one fails: a request that is cancelled would close a connection that others use.
        ended = await asyncio.gather(
            *(self._write_to(leader, some) for leader, some in batches.items()),
            self._write_offsets(offsets),
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

    async def end(self) -> Epoch:
        """Commit what is written, and return the epoch of the next transaction.

        Raises
        ------
        FatalError, KafkaError, TimeoutError
            It may be committed.
        """
        answer = await self._ask_coordinator(
            self._coordinator,
            lambda: end_transaction(self._epoch.producer, commit=True, version_2=self._epoch.has_version_2),
            lambda answer: {answer.error_code},
        )
        if not self._epoch.has_version_2:
            return self._epoch
        next_producer = self._epoch.producer._replace(producer_id=answer.producer_id, epoch=answer.epoch)
        return Epoch(next_producer, has_version_2=True)

    async def _coordinator(self) -> int:
        return await self._connections.transaction_coordinator(self._id)

    async def _add(self, partitions: Sequence[TopicPartition]) -> None:
        """Add partitions and group to a transaction of version 1."""

        def codes(answer: Any) -> set[int]:
            by_partition = codes_of(answer)
            self._raise_if_partitions_refused(by_partition)
            return set(by_partition.values())

        def code(answer: Any) -> set[int]:
            raise_if_fatal(answer.error_code, self._id, group_id=self._member.group_id)
            return {answer.error_code}

        producer = self._epoch.producer
        if partitions:
            await self._ask_coordinator(self._coordinator, lambda: add_partitions(producer, partitions), codes)
        await self._ask_coordinator(self._coordinator, lambda: add_offsets(producer, self._member.group_id), code)

    async def _write_to(self, leader: int, batches: Mapping[TopicPartition, Sequence[OutgoingBatch]]) -> None:
        """Send batches to one leader; a request has one batch of a partition at most."""
        sequences = self._epoch.sequences
        for number in range(max(map(len, batches.values()))):
            round_of = {partition: some[number] for partition, some in batches.items() if number < len(some)}
            await self._write_round(leader, round_of)
            for partition, batch in round_of.items():
                sequences[partition] = (sequences[partition] + batch.records) % SEQUENCES

    async def _write_round(self, leader: int, batches: Mapping[TopicPartition, OutgoingBatch]) -> None:
        _, producer_id, epoch = self._epoch.producer
        left, refusals = dict(batches), Refusals()
        while left:
            stamped = {
                partition: batch.stamp(producer_id, epoch, self._epoch.sequences[partition])
                for partition, batch in left.items()
            }
            request = produce(self._id, stamped, self._replicas_timeout_ms, version_2=self._epoch.has_version_2)
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
            raise_if_fatal(code, self._id, partition=partition)
        unavailable = {partition: error_for(code) for partition, code in codes.items() if code in PARTITION_UNAVAILABLE}
        if unavailable:
            raise PartitionsUnavailable(unavailable)

    async def _write_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        member, epoch = self._member, self._epoch

        def codes(answer: Any) -> set[int]:
            by_partition = codes_of(answer)
            for partition, code in by_partition.items():
                # The client's sentence is about the right to read the requests, whose offsets these are.
                raise_if_fatal(code, self._id, partition=partition, group_id=member.group_id, topic_right="Read")
                if code in STALE_MEMBER:
                    raise OwnershipLost(f"the group refuses the offsets: {describe(error_for(code))}")
            return set(by_partition.values())

        await self._ask_coordinator(
            lambda: self._connections.group_coordinator(member.group_id),
            lambda: commit_offsets(epoch.producer, member, offsets, version_2=epoch.has_version_2),
            codes,
        )

    async def _ask_coordinator(
        self,
        coordinator: Callable[[], Awaitable[int]],
        request: Callable[[], Prepared],
        codes: Callable[[Any], set[int]],
    ) -> Any:
        """Send a request until its coordinator does not refuse it for the moment; raise any other error."""
        refusals = Refusals()
        while True:
            answer = await self._connections.send(await coordinator(), request())
            refused = {code for code in codes(answer) if code}
            if not refused:
                return answer
            for code in refused - NOT_COORDINATOR - {CONCURRENT_TRANSACTIONS}:
                raise_if_fatal(code, self._id)
                raise error_for(code)
            if refused & NOT_COORDINATOR:
                self._connections.forget_coordinators()
            await refusals.pause(min(refused))  # a coordinator that has moved says nothing of markers
