"""A transactional producer: one transactional id, one transaction after the other.

With transactions of version 2 (KIP-890), the end of each transaction gives the epoch of the next one, so that a late
request of an earlier transaction is refused. With version 1 the epoch stays. Therefore no request whose outcome is
unknown is ever sent again: the producer asks for a new epoch, which settles the transaction. A request that a broker
has refused may be sent again, because it has had its effect: none.
Forced by test_requests_of_a_given_up_transaction_that_arrive_late_change_nothing.

References
----------
.. [1] KIP-98: Exactly Once Delivery and Transactional Messaging.
.. [2] KIP-890: Transactions Server-Side Defense.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from transport.admin.authorization import id_prefix
from transport.errors import FatalError, OwnershipLost, describe
from transport.protocol.error_codes import LEADER_NOT_AVAILABLE, error_for
from transport.protocol.offsets import Member
from transport.settings.kafka import GroupSettings
from transport.sink.batches import OutgoingBatch
from transport.sink.connections import SinkConnections
from transport.sink.epochs import ProducerEpochs
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable
from transport.sink.transaction import Transaction

ID_CHARACTERS: Final = 12
END_AT_ONCE_S: Final = 1.0
"""The time limit for the end of a transaction that is refused or cancelled, before its error is raised."""
REPLICAS_SHARE: Final = 0.5
"""A leader waits for its replicas for this part of the request timeout. If it waited as long as the producer does, the
producer would give the leader up in the moment in which the leader reports which partition lacks replicas."""


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
        self._epochs = ProducerEpochs(connections, prefix, settings.kafka.transaction_timeout_ms)
        self._replicas_timeout_ms = int(REPLICAS_SHARE * settings.kafka.request_timeout_ms)

    @property
    def transactional_id(self) -> str:
        """The present id."""
        return self._epochs.transactional_id

    async def settle(self) -> None:
        """Have an epoch in which no transaction is open; end the one that is. Waits as long as brokers need.

        Afterwards the outcome of the last transaction is decided, or its offsets are unstable until it is. Its markers
        may still be written. If they are blocked, `transactional_id` is another one afterwards.

        Raises
        ------
        FatalError
            A right is missing, or the brokers refuse the producer for good.
        """
        await self._epochs.settle()

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
        epoch = await self._epochs.settle()
        try:
            by_leader = self._by_leader(batches)
        except PartitionsUnavailable:
            await self._connections.refresh()  # nothing else would look for the new leader
            raise
        self._epochs.use_up()  # whatever happens now, unless the transaction ends in order
        transaction = Transaction(self._connections, epoch, member, self._replicas_timeout_ms)
        is_ending = False
        try:
            await transaction.write(by_leader, offsets)
            is_ending = True
            self._epochs.go_on(await transaction.end())
        except (PartitionsUnavailable, OwnershipLost, FatalError, asyncio.CancelledError):
            await self._end_at_once()
            raise
        except IncompatibleBrokerVersion as error:
            raise FatalError(f"cannot commit: {describe(error)}") from error
        except (KafkaError, TimeoutError) as error:
            self._connections.forget_coordinators()
            self._epochs.note_failure(error)
            kind = OutcomeUnknown if is_ending else NotCommitted
            raise kind(describe(error)) from error

    async def _end_at_once(self) -> None:
        """Try once to end a transaction that is refused or cancelled; if that fails, `settle` ends it.

        The caller may have nothing else to commit for a while, or ends because of a fault elsewhere, and readers of the
        partitions would wait for its end.
        Forced by test_a_refused_transaction_does_not_block_readers and
        test_a_cancelled_transaction_does_not_block_readers.
        """
        with contextlib.suppress(KafkaError, TimeoutError, FatalError):
            async with asyncio.timeout(END_AT_ONCE_S):
                await self._epochs.begin()

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
